"""An extension of Sphinx: signatures as they stand in the source."""


def setup(app):
    return {"parallel_read_safe": True}
