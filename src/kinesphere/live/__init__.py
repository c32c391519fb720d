"""Recognition while it happens: cameras, network streams, and files played at their own pace."""
