"""What MediaPipe's tasks must be told of a bare TensorFlow Lite model, written into it.

The selfie segmentation model is published without metadata, which MediaPipe's tasks refuse: how pixels become
the input's numbers. Format: a buffer named TFLITE_METADATA with a FlatBuffer of its own inside
(https://ai.google.dev/edge/litert/models/metadata).
"""

from __future__ import annotations

from functools import lru_cache

_NAME = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"


@lru_cache(maxsize=1)
def with_metadata(model: bytes) -> bytes:
    """A segmentation model of pixels in [0, 1] with metadata; one that has some already is left alone.

    Args:
        model: A `.tflite` file with one image input and one mask output.
    """
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as schema

    plain = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    if any(entry.name == _NAME for entry in plain.metadata or ()):
        return model
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(_metadata())
    entry.name, entry.buffer = _NAME.decode(), len(plain.buffers)
    plain.buffers.append(buffer)
    plain.metadata = [*(plain.metadata or ()), entry]
    builder = flatbuffers.Builder(len(model) + 1024)
    builder.Finish(plain.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _metadata() -> bytes:
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    scale = schema.ProcessUnitT()
    scale.optionsType = schema.ProcessUnitOptions.NormalizationOptions
    scale.options = schema.NormalizationOptionsT()
    # Pixels of 0 to 255 become numbers of 0 to 1.
    scale.options.mean, scale.options.std = [0.0], [255.0]
    given, masks = schema.TensorMetadataT(), schema.TensorMetadataT()
    given.name, given.processUnits, given.content = "image", [scale], schema.ContentT()
    given.content.contentPropertiesType = schema.ContentProperties.ImageProperties
    given.content.contentProperties = schema.ImagePropertiesT()
    given.content.contentProperties.colorSpace = schema.ColorSpaceType.RGB
    masks.name = "mask"
    graph, whole = schema.SubGraphMetadataT(), schema.ModelMetadataT()
    graph.inputTensorMetadata, graph.outputTensorMetadata = [given], [masks]
    whole.name, whole.subgraphMetadata = "segmenter", [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())
