"""Every error that Kinesphere raises on purpose, and the warnings it gives.

A message says what happened, what we got and what to do. Anything from outside (a video, an
annotation, a checkpoint, a recipe, a URL) that turns out wrong raises a subclass of
`KinesphereError`; any other exception that reaches a user is a bug.
"""

from __future__ import annotations


class KinesphereError(Exception):
    """Base of all errors that describe bad input or a missing prerequisite."""


class InvalidSetting(KinesphereError, ValueError):
    """An argument, option or recipe key has a value that cannot work."""


class UnknownName(KinesphereError, LookupError):
    """A name is in no registry; the message lists the nearest known ones."""


class MissingExtra(KinesphereError, ImportError):
    """An optional dependency is needed; the message names the pip extra that brings it."""


class UnwritableFile(KinesphereError, OSError):
    """A file cannot be written: no space, no permission, no such folder; the message says which."""


class UnusableName(UnwritableFile):
    """A file system refuses the name of a file that was to be written."""


class InUse(KinesphereError):
    """Another process is writing in the same place."""


class BrokenPackage(KinesphereError, ImportError):
    """An installed package of others cannot be imported; the message names it and what to do."""


class VideoError(KinesphereError):
    """Base of everything that can be wrong with one video."""


class UnreadableVideo(VideoError):
    """The file is missing, empty, not a video, or yields no decodable frame."""


class NoVideoStream(UnreadableVideo):
    """The container holds audio or data but no video."""


class SpanOutsideVideo(VideoError, ValueError):
    """A requested span starts after the video's last frame."""


class SourceTimeout(VideoError, TimeoutError):
    """A source gave no frame within its time bound."""


class UnwritableVideo(VideoError):
    """A video cannot be encoded or written as asked."""


class UnwritableVideoFile(UnwritableVideo, UnwritableFile):
    """The folder or the disk refuses a video, as it would any file."""


class InvalidClip(KinesphereError, ValueError):
    """A clip's arrays contradict each other or its spec."""


class InvalidManifest(KinesphereError):
    """A table of samples cannot be read or contradicts itself."""


class InvalidAnnotation(KinesphereError):
    """A pose, flow, mask or label file does not hold what its format promises."""


class EmptySkeleton(InvalidAnnotation):
    """A skeleton file is sound, but shows nobody in any frame."""


class TooManyFailures(KinesphereError):
    """More samples were unreadable than the setting allows."""


class TrainingDiverged(KinesphereError):
    """The loss of a training run is no longer a number."""


class NotFinite(KinesphereError, ArithmeticError):
    """A network answers with something that is no finite number."""


class WorkerFailed(KinesphereError):
    """One of several training processes died of something that is no error of ours."""


class LabelMismatch(KinesphereError):
    """Data and model disagree about the set of labels."""


class InvalidCheckpoint(KinesphereError):
    """A model file is damaged, foreign, or lacks what we need to rebuild the model."""


class UnsafeFile(KinesphereError):
    """A file would execute code or leave its root if we read it as asked."""


class MissingWeights(KinesphereError):
    """Weights are not available here; the message says which file to put where."""


class KinesphereWarning(UserWarning):
    """Base of the warnings about input that was used, but not whole or not as it stood."""


class DamagedVideo(KinesphereWarning):
    """Part of a video could not be decoded; what was decodable was used."""


class IncompleteSplit(KinesphereWarning):
    """A part of a split lacks a class that the data have."""


class CacheFull(KinesphereWarning):
    """A cache has no space for what it was given; the work is done again each time."""


class NobodySeen(KinesphereWarning):
    """A clip of poses shows no person; it is all zeros."""


class OtherBackground(KinesphereWarning):
    """The video that should lend its background cannot be read; another one of the data lends them."""


class PreparedOtherwise(KinesphereWarning):
    """What lies beside a video was made otherwise than what the model learnt from, or is made on the way."""


class LeftOut(KinesphereWarning):
    """Entries of a file hold nothing that can be used; they are counted and left out."""


class WrongEntry(LeftOut):
    """An entry of a file is wrong, not merely of no use; it is left out, and counts as a failure."""


class Assumed(KinesphereWarning):
    """A file leaves something open that matters; what was assumed is stated."""
