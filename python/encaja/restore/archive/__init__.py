"""The vendor's archive format: names, gzip framing, encryption, tar dialect and dump, and what proves a volume."""
