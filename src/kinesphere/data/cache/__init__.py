"""The frame cache: decoded, resized frames that are read again and again."""
