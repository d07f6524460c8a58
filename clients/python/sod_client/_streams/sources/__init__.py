"""Where frames come from: video files, streams, devices and folders."""
