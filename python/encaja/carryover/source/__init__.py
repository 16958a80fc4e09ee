"""Reading the cloud: records, offline events, watermarks and origins."""
