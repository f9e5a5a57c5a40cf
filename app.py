"""Serve a web page that runs a model on conversations: `python app.py runs/demo-001`, then open the printed address.

Needs the extra `hub-demo` (gradio). A Hugging Face Space sets the variable `ERC_CHECKPOINT` to a Hub id.
"""

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    """Loads a checkpoint and serves its page until the process is stopped."""
    parser = argparse.ArgumentParser(description="Serve a web page that runs a model on conversations.")
    parser.add_argument(
        "checkpoint",
        metavar="CKPT",
        nargs="?",
        default=os.environ.get("ERC_CHECKPOINT"),
        help="folder that train_hf.py wrote, or a Hub id (default: the variable ERC_CHECKPOINT)",
    )
    # A Space sets this variable because its visitors connect from other machines.
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    parser.add_argument("--host", default=host, help="address to listen on (default: reachable from this machine only)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free port from 7860)")
    parser.add_argument("--device", help="device such as cpu or cuda:0 (default: the first accelerator)")
    args = parser.parse_args()
    if not args.checkpoint:
        parser.error("name a checkpoint, such as runs/demo-001, or set ERC_CHECKPOINT")
    # These imports take seconds, so mistakes on the command line are reported before them.
    try:
        from modeling_erc.demo_page.page import build_page
        from modeling_erc.demo_page.reading import Reader
        from modeling_erc.demo_page.style import CSS, theme
        from modeling_erc.loading import load_pipeline
    except ImportError as error:
        sys.exit(f"{error}: pip install -c constraints.txt -e '.[hub-demo]'")
    try:
        reader = Reader(load_pipeline(args.checkpoint, args.device))
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    page = build_page(reader, Path(args.checkpoint).name)
    try:
        _, address, _ = page.launch(
            server_name=args.host,
            server_port=args.port,
            max_file_size=reader.limits.upload_bytes,
            theme=theme(),
            css=CSS,
            footer_links=[],
            run_history=False,  # conversations are not stored in the browser either
            ssr_mode=False,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:  # the port is taken, or the address does not belong to this machine
        sys.exit(str(error))
    print(f"{args.checkpoint} answers at {address}", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
