"""Options of the modules that work on a portal (``portal``), on one of its files (``portal.file``) or on a copy.

``portal.address`` is for those that require a portal's address, ``portal.copy`` for those that refuse production.
"""

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
    description: Directory of the findings of earlier runs.
    type: path
    default: /var/lib/encaja/settle
  fpm_socket:
    description: Socket of the portal's PHP-FPM pool; its memory caches are purged when something changed.
    type: path
    default: /run/php/portal.sock
"""

    FILE = r"""
options:
  owner:
    description: Owner of the file; by default its current owner, or the directory's.
    type: str
  group:
    description: Group of the file; by default its current group, or the directory's.
    type: str
  mode:
    description: Mode of the file as an octal string; by default its current mode, or 0640.
    type: str
  backup:
    description: Whether to keep a copy of a changed file below /var/lib/encaja/kept.
    type: bool
    default: true
"""

    ADDRESS = r"""
options:
  domain:
    description: The portal's host name.
    type: str
    required: true
  scheme:
    description: The portal's scheme.
    type: str
    choices: [https, http]
    default: https
  port:
    description: The portal's TCP port; 0 for the scheme's own.
    type: int
    default: 0
  site:
    description: The site of the domain; required only when active sites have different hosts.
    type: str
    default: ""
  old_hosts:
    description: Further former host names of the portal, besides those in its options.
    type: list
    elements: str
    default: []
  mail_from:
    description: The portal's sender address; empty leaves or skips it.
    type: str
    default: ""
"""

    COPY = r"""
options:
  root:
    description: The copy's document root.
    type: path
    default: /srv/portal/www
  marker:
    description: File that names the host's environment. Production is refused.
    type: path
    default: /etc/encaja/environment
"""
