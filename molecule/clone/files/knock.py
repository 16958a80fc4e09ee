"""Knocks at every door of a host, as programs would that know nothing of portals: SMTP, SIP, HTTP(S), IMAP and DNS."""

import contextlib
import socket
import sys

QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05world\x04test\x00\x00\x01\x00\x01"
CALL = b"INVITE sip:34911222333@world.test SIP/2.0\r\nMax-Forwards: 70\r\n\r\n"


def main() -> None:
    world = sys.argv[1]
    for port in (25, 587, 80, 443, 143, 993, 5060, 53):
        with contextlib.suppress(OSError), socket.create_connection((world, port), 1) as link:
            link.sendall(b"QUIT\r\n")
    for port, datagram in ((5060, CALL), (53, QUERY)):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(datagram, (world, port))


main()
