"""The health of a host and its portal: looked at every minute, told once when a fault begins and once when it ends."""
