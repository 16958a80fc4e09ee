"""The cloud as it is read: records page by page, offline events, watermarks, and where a record came from."""
