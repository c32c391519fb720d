"""Annotations: what stands beside a video, made by extractors or by others."""
