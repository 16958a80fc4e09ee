"""The restored portal: what it holds, how it is settled on its new host, and how that is verified.

The package runs in two places from one source: on the controller as ``encaja.portal`` and inside Ansible modules on the
portal's host as the collection's ``module_utils.portal`` (``encaja/portal`` is a link to it).
Modules of this package therefore import each other relatively and need nothing but Python 3.11 and python3-pymysql.
"""
