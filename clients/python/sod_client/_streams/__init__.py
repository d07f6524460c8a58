"""Video files, cameras and filling folders: detection, tracking and counting, frame by frame."""
