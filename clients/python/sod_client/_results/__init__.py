"""The data of a result, its conversion to other formats, and drawing without a server."""
