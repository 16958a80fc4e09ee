"""What the kit adds to Ansible: own modules, their shared parts and action plugins."""
