"""The page itself: what stands where, and what happens when."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from .examples import CAKE, ladder_script, write_ladder
from .limits import PageError
from .reading import DOWNLOADS, NAMES, Reader, Reading, write_downloads
from .upload import SUFFIXES, open_conversation
from .views import empty_view, message_view, results_view, table_view

HOUR = 3600
CARE = (
    "What a model hears in words, voices and faces is a guess about them, not knowledge of what a person feels. "
    "Hand in only what those who speak agree to, and decide nothing about anybody with it. "
    "Files are deleted from this machine within about an hour."
)
PLACEHOLDER = """Ann: We won!
Bo: I cannot believe it.

With a recording, each line with its times:
[0:01.0 - 0:02.5] Ann: We won!"""


class LocalFile(gr.File):
    """A file of the visitor's; gradio's own would fetch an address from the network for whoever posts one."""

    is_template = True  # it looks like its parent

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """Refuses addresses."""
        if "://" in str(url_or_file_path):
            raise gr.Error("Upload the file itself: this page opens no addresses.")
        return await super().async_move_resource_to_block_cache(url_or_file_path)


def build_page(reader: Reader, name: str) -> gr.Blocks:
    """The page of a model.

    Args:
        reader: with the model.
        name: of the model, for the heading.
    """
    # Lives as long as the process.
    folder = tempfile.TemporaryDirectory(prefix="erc-demo-")
    ladder = str(write_ladder(Path(folder.name, "ladder.mp4")))
    nothing = empty_view(reader.labels)
    choices = [(NAMES[m], m) for m in reader.modalities]

    with gr.Blocks(title="Emotions in a conversation", analytics_enabled=False, delete_cache=(600, HOUR)) as page:
        page.example_folder = folder
        gr.HTML(
            "<h1>Emotions in a conversation</h1><p>Paste who says what, or open a file; attach the recording if there "
            f"is one. The model <b>{name}</b> names the emotion of every turn.</p>",
            elem_classes="erc-title",
        )
        state = gr.State(None, time_to_live=HOUR)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                script = gr.Textbox(
                    label="Conversation", placeholder=PLACEHOLDER, lines=9, max_lines=18, elem_id="erc-script"
                )
                with gr.Row():
                    cake = gr.Button("Example: the cake", size="sm", min_width=120)
                    acted = gr.Button("Example: the ladder, filmed", size="sm", min_width=120)
                opened = LocalFile(
                    label=f"Open a conversation ({', '.join(SUFFIXES)})",
                    file_types=list(SUFFIXES),
                    height=110,
                    elem_id="erc-open",
                )
                recording = LocalFile(
                    label="Recording of all of it, if there is one (sound or video)",
                    file_types=["audio", "video"],
                    height=110,
                    elem_id="erc-recording",
                )
                on = gr.CheckboxGroup(choices, value=reader.modalities, label="Listen to", elem_id="erc-on")
                run = gr.Button("Name the emotions", variant="primary", elem_id="erc-run")
            with gr.Column(scale=7, min_width=340):
                message = gr.HTML(visible=False, elem_classes="erc-view", elem_id="erc-message")
                results = gr.HTML(nothing, elem_classes="erc-view", elem_id="erc-results")
                table = gr.HTML(elem_classes="erc-view", elem_id="erc-table")
                with gr.Row(visible=False) as downloads:
                    buttons = [
                        gr.DownloadButton(f"Download {told}", size="sm", min_width=110, elem_id=f"erc-get-{suffix[1:]}")
                        for suffix, told in zip(DOWNLOADS, ("CSV", "JSON", "WebVTT"), strict=True)
                    ]
        gr.HTML(f'<p class="erc-care">{CARE}</p>')

        shown = [message, state, results, table, downloads, *buttons]

        def told(problem: str | None) -> Any:
            return gr.update(value=message_view(problem) if problem else "", visible=bool(problem))

        def show(reading: Reading, modalities: Sequence[str]) -> list[Any]:
            off = [m for m in reader.modalities if m not in modalities]
            with tempfile.TemporaryDirectory() as written:
                paths = write_downloads(reading, Path(written))
                files = [
                    gr.update(value=save_file_to_cache(path, cache_dir=button.GRADIO_CACHE), interactive=True)
                    if (path := paths[suffix])
                    else gr.update(value=None, interactive=False)
                    for suffix, button in zip(DOWNLOADS, buttons, strict=True)
                ]
            return [
                told(None), reading, results_view(reading, off), table_view(reading), gr.update(visible=True), *files
            ]  # fmt: skip

        def keep(problem: str) -> list[Any]:
            """The message; what stands there stays."""
            return [told(problem), *[gr.skip() for _ in shown[1:]]]

        def read(text: str, path: str | None, modalities: list[str]) -> list[Any]:
            try:
                return show(reader.read(text, Path(path) if path else None, modalities), modalities)
            except PageError as error:
                return keep(str(error))

        def switch(reading: Reading | None, modalities: list[str]) -> list[Any]:
            if reading is None:
                return [gr.skip() for _ in shown]
            try:
                return show(reader.switch(reading, modalities), modalities)
            except PageError as error:
                return keep(str(error))

        def take(path: str | None) -> tuple[Any, Any]:
            if path is None:
                return gr.skip(), gr.skip()
            try:
                found = open_conversation(Path(path), reader.limits)
            except PageError as error:
                return told(str(error)), gr.skip()
            return told(" ".join(found.notes)), found.script

        quiet: dict[str, Any] = {"api_visibility": "private"}
        # The model works for one visitor at a time; the others wait in the queue.
        model: dict[str, Any] = {**quiet, "concurrency_id": "model", "concurrency_limit": 1}
        given = [script, recording, on]
        run.click(read, given, shown, show_progress_on=results, **model)
        on.input(switch, [state, on], shown, show_progress_on=results, **model)
        opened.upload(take, opened, [message, script], **quiet)
        cake.click(lambda: (CAKE, None), None, [script, recording], **quiet).then(read, given, shown, **model)
        acted.click(lambda: (ladder_script(), ladder), None, [script, recording], **quiet).then(
            read, given, shown, **model
        )
    page.queue(max_size=32)
    return page
