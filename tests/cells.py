"""A cell, run in a kernel from within a test."""

from patience import patience


def run_cell(client, code: str) -> str:
    """What a cell printed, its error, and the descriptions of the pictures that it showed."""
    printed = []

    def listen(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] == "error":
            printed.append("ERROR " + content["evalue"])
        elif "image/png" in content.get("data", {}):
            printed.append(f"PICTURE {content['metadata']['image/png']['alt']}")

    client.execute_interactive(code, stop_on_error=False, timeout=patience(12), output_hook=listen)
    return "".join(printed)
