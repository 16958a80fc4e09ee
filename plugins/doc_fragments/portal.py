"""Options of the modules that work on a portal (``portal``), on one of its files (``portal.file``) or on a copy.

``portal.address`` is for those that have to know a portal's address, ``portal.copy`` for those that refuse production.
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

    ADDRESS = r"""
options:
  domain:
    description: The portal's host name.
    type: str
    required: true
  scheme:
    description: Its scheme.
    type: str
    choices: [https, http]
    default: https
  port:
    description: Its TCP port; 0 for the scheme's own.
    type: int
    default: 0
  site:
    description: The site that has the domain, or gets it; needed only when active sites have different hosts.
    type: str
    default: ""
  old_hosts:
    description: Further hosts that the portal had, beside those that its own options name.
    type: list
    elements: str
    default: []
  mail_from:
    description: The portal's sender address; empty leaves it, or looks at none.
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
    description: The file that names the host's environment. A host of production is refused.
    type: path
    default: /etc/encaja/environment
"""
