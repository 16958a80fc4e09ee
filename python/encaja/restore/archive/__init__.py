"""The vendor's archive format: names, gzip framing, encryption, tar dialect and dump, and how a volume is verified."""
