"""Reports the calls of an Asterisk telephone exchange to the portal.

Asterisk's channel events (:mod:`events`) are folded into calls (:mod:`call`), which are kept in a file (:mod:`spool`)
together with what the portal has been told so far; :mod:`plan` says what comes next, :mod:`report` sends it through
:mod:`rest`, and :mod:`connector` keeps all of this going. Events arrive at once through the manager interface
(:mod:`ami`), and once more from Asterisk's own database, which also holds those that the connector missed.
Everything here runs on the telephony host with Debian's Python and python3-httpx.
"""
