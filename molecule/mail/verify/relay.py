"""A relay for one message: STARTTLS, AUTH PLAIN, and what was said written to a file."""

import socket
import ssl
import sys


def main() -> None:
    log = open(sys.argv[1], "w", buffering=1, encoding="utf-8")  # noqa: SIM115, PTH123
    server = socket.create_server(("127.0.0.1", 2525))
    print("ready", file=log)
    link, _ = server.accept()
    stream = link.makefile("rwb")

    def answer(text: str) -> None:
        stream.write(f"{text}\r\n".encode())
        stream.flush()

    answer("220 relay")
    in_data = False
    while raw := stream.readline():
        line = raw.decode().rstrip("\r\n")
        print(line, file=log)
        verb = line.split(" ")[0].upper()
        if in_data:
            in_data = line != "."
            if not in_data:
                answer("250 taken")
        elif verb == "EHLO":
            answer("250-relay")
            answer("250-STARTTLS" if not isinstance(link, ssl.SSLSocket) else "250-SIZE 1000000")
            answer("250 AUTH PLAIN")
        elif verb == "STARTTLS":
            answer("220 go on")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain("/etc/encaja/tls/localhost.crt", "/etc/encaja/tls/localhost.key")
            link = context.wrap_socket(link, server_side=True)
            stream = link.makefile("rwb")
        elif verb == "DATA":
            in_data = True
            answer("354 go on")
        elif verb == "QUIT":
            answer("221 bye")
            break
        else:
            answer("235 welcome" if verb == "AUTH" else "250 good")


main()
