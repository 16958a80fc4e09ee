"""The one error of the backup writer."""


class BackupWriterError(Exception):
    """A backup cannot be made; the message is one line of what, where and how to fix it."""
