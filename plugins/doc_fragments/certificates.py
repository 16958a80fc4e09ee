"""Options that the modules for certificates share."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for by this name."""

    DOCUMENTATION = r"""
options:
  trusted:
    description:
      - Certificate authorities, in addition to those of the controller, to which a chain may lead; PEM text, or paths
        on
        the controller, also of files encrypted with ansible-vault.
    type: list
    elements: str
    default: []
  folder:
    description: Directory of the certificates on the host.
    type: path
    default: /etc/encaja/tls
"""
