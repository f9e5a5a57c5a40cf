"""Serve a web page that runs a model on conversations: `python app.py runs/demo-001`, then open the printed address.

Needs the extra `hub-demo` (gradio). A Hugging Face Space sets the variable `ERC_CHECKPOINT` to a Hub id.
"""

import argparse
import os
import sys
from pathlib import Path

LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"]


def parse_options() -> argparse.Namespace:
    """Reads the command line, and reports its mistakes."""
    parser = argparse.ArgumentParser(description="Serve a web page that runs a model on conversations.")
    parser.add_argument(
        "checkpoint",
        metavar="CKPT",
        nargs="?",
        default=os.environ.get("ERC_CHECKPOINT"),
        help="folder that train_hf.py wrote, or a Hub id (default: the variable ERC_CHECKPOINT)",
    )
    parser.add_argument(
        "--host",
        # A Space sets this variable because its visitors connect from other machines.
        default=os.environ.get("GRADIO_SERVER_NAME"),
        help="address to listen on, with any host name in the browser (default: this machine and its local names only)",
    )
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free port from 7860)")
    parser.add_argument("--device", help="device such as cpu or cuda:0 (default: the first accelerator)")
    parser.add_argument(
        "--transcribe",
        metavar="MODEL",
        help="let visitors transcribe a recording with this speech recogniser, such as openai/whisper-small",
    )
    parser.add_argument(
        "--speaker_model",
        metavar="MODEL",
        help="tell the speakers of a recording apart with this model, such as microsoft/wavlm-base-plus-sv",
    )
    limits = parser.add_argument_group("limits of a visitor")
    limits.add_argument("--max_turns", type=int, default=200, help="turns of a conversation (default: %(default)s)")
    limits.add_argument("--max_minutes", type=float, default=15, help="length of a recording (default: %(default)s)")
    limits.add_argument("--max_megabytes", type=float, default=50, help="size of an upload (default: %(default)s)")
    limits.add_argument(
        "--max_seconds", type=float, default=300, help="computing time of a request (default: %(default)s)"
    )
    args = parser.parse_args()
    for name in ("max_turns", "max_minutes", "max_megabytes", "max_seconds"):
        if not getattr(args, name) > 0:
            parser.error(f"--{name} {getattr(args, name):g}: give a number above 0")
    if not args.checkpoint:
        parser.error("name a checkpoint, such as runs/demo-001, or set ERC_CHECKPOINT")
    return args


def main() -> None:
    """Loads a checkpoint and serves its page until the process is stopped."""
    args = parse_options()
    # These imports take seconds, so mistakes on the command line are reported before them.
    try:
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from transformers import AutoConfig

        from modeling_erc.demo_page.limits import Limits
        from modeling_erc.demo_page.page import build_page
        from modeling_erc.demo_page.reading import Reader
        from modeling_erc.demo_page.style import CSS, HEAD, theme
        from modeling_erc.demo_page.upload import Transcriber
        from modeling_erc.loading import load_pipeline
    except ImportError as error:
        sys.exit(f"{error}: pip install -c constraints.txt -e '.[hub-demo]'")
    allowed = Limits(
        turns=args.max_turns,
        seconds=60 * args.max_minutes,
        upload_bytes=round(2**20 * args.max_megabytes),
        computing_seconds=args.max_seconds,
    )
    try:
        for model in filter(None, (args.transcribe, args.speaker_model)):
            AutoConfig.from_pretrained(model)  # reports a wrong name before the first visitor comes
        reader = Reader(load_pipeline(args.checkpoint, args.device), allowed)
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    transcriber = Transcriber(args.transcribe, args.speaker_model, args.device) if args.transcribe else None
    page = build_page(reader, Path(args.checkpoint).name, transcriber)
    # A web site could otherwise let its own name point to this machine, and read the page (DNS rebinding).
    hosts = ["*"] if args.host else LOCAL_NAMES
    try:
        _, address, _ = page.launch(
            server_name=args.host or LOCAL_NAMES[0],
            app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]},
            server_port=args.port,
            max_file_size=reader.limits.upload_bytes,
            theme=theme(),
            css=CSS,
            head=HEAD,
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
