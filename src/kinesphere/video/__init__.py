"""Video in and out: open, probe, decode at a size, cameras, and writing.

Everything that shows frames has one method, `stream`: `Video` for files, bytes and URLs, `Camera`
for devices. `open_source` picks between them.
"""

from kinesphere.video.camera import Camera, FrameSource, open_source
from kinesphere.video.decode import Frame, Frames, Video
from kinesphere.video.images import ImageFolder, is_image_folder
from kinesphere.video.info import VideoInfo
from kinesphere.video.probe import probe
from kinesphere.video.write import VideoWriter

__all__ = [
    "Camera",
    "Frame",
    "FrameSource",
    "Frames",
    "ImageFolder",
    "Video",
    "VideoInfo",
    "VideoWriter",
    "is_image_folder",
    "open_source",
    "probe",
]
