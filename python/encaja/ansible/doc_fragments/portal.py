"""Options of the modules that work on a portal (``portal``) or on one of its files (``portal.file``)."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for by this name."""

    DOCUMENTATION = r"""
options:
  root:
    description: The portal's document root.
    type: path
    default: /srv/portal/www
  state:
    description: Directory in which earlier runs noted what they found.
    type: path
    default: /var/lib/encaja/settle
  fpm_socket:
    description: Socket of the portal's PHP-FPM pool; its memory caches are emptied when something changed.
    type: path
    default: /run/php/portal.sock
"""

    FILE = r"""
options:
  owner:
    description: Owner of the file; what it has now, or the directory's, when not given.
    type: str
  group:
    description: Group of the file; what it has now, or the directory's, when not given.
    type: str
  mode:
    description: Mode of the file as an octal string; what it has now, or 0640, when not given.
    type: str
  backup:
    description: Keep a copy of a file that is changed, below /var/lib/encaja/kept.
    type: bool
    default: true
"""
