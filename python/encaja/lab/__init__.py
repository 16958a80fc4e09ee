"""The lab: the whole estate on one machine, real Debian hosts with systemd in containers, real SSH."""
