"""Layout and events of the page."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from ..timelines import write_timeline
from .examples import example_script, write_example
from .limits import PageError
from .reading import DOWNLOADS, NAMES, Reader, Reading, joined, write_downloads
from .upload import SUFFIXES, Transcriber, open_conversation
from .views import empty_view, message_view, notes_view, results_view, table_view

HOUR = 3600
CARE = (
    "A predicted emotion is a guess from words, voices and faces, not knowledge of what a person feels. "
    "Upload only conversations whose speakers agree, and base no decision about a person on the result. "
    "Files are deleted from this machine within about an hour."
)
PLACEHOLDER = """Ann: We won!
Bo: I cannot believe it.

With a recording, each line with its times:
[0:01.0 - 0:02.5] Ann: We won!"""


def local(component: Any) -> Any:
    """Makes a file component refuse URLs, which gradio would otherwise fetch on behalf of any client."""
    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise gr.Error("Upload the file itself: this page opens no addresses.")
        return await move(path)

    component.async_move_resource_to_block_cache = move_file
    return component


def build_page(reader: Reader, name: str, transcriber: Transcriber | None = None) -> gr.Blocks:
    """Builds the page of a model.

    Args:
        reader: predicts the emotions.
        name: name of the model for the heading.
        transcriber: transcribes recordings on request.
    """
    folder = tempfile.TemporaryDirectory(prefix="erc-demo-")
    media = bool({"audio", "vision"} & set(reader.modalities))
    filmed = write_example(Path(folder.name, "example.mp4")) if media else None
    html = partial(gr.HTML, apply_default_css=False, padding=False, elem_classes="erc-view")
    small: dict[str, Any] = {"size": "sm", "min_width": 90}
    choices = [(NAMES[m], m) for m in reader.modalities]

    with gr.Blocks(title="Emotions in a conversation", analytics_enabled=False, delete_cache=(600, HOUR)) as page:
        html(
            '<div class="erc-title"><h1>Emotions in a conversation</h1>'
            "<p>Paste a conversation, or open subtitles, a table or JSON; attach its recording if you have one. "
            f"<b>{escape(name)}</b> predicts {escape(joined(reader.predicted))} of every turn.</p></div>"
            + notes_view([reader.origin] if reader.origin else [])
        )
        state = gr.State(None, time_to_live=HOUR)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                script = gr.Textbox(
                    label="Conversation",
                    placeholder=PLACEHOLDER,
                    lines=12,
                    max_lines=12,  # gradio's box that grows lays out again for every pasted line
                    # One more than is accepted, so that text cut off by the browser is reported.
                    max_length=reader.limits.script_characters + 1,
                    elem_id="erc-script",
                )
                with gr.Row():
                    opened = local(gr.UploadButton("Open a file", file_types=[*SUFFIXES], elem_id="erc-open", **small))
                    example = gr.Button("Example", **small)
                message = html(visible=False, elem_id="erc-message")
                recording = gr.File(
                    label="Recording of the conversation (optional)",
                    file_types=["audio", "video"],
                    height=160,
                    elem_id="erc-recording",
                )
                local(recording)
                with gr.Row(visible=transcriber is not None, equal_height=False):
                    heard = gr.Button("Transcribe the recording", elem_id="erc-transcribe", **small)
                    speakers = gr.Number(
                        0,
                        label="Speakers (0: unknown)",
                        precision=0,
                        minimum=0,
                        maximum=20,
                        min_width=90,
                        elem_id="erc-speakers",
                    )
                on = gr.CheckboxGroup(choices, value=reader.modalities, label="Modalities", elem_id="erc-on")
                run = gr.Button("Predict the emotions", variant="primary", elem_id="erc-run")
            with gr.Column(scale=7, min_width=340):
                results = html(empty_view(reader.predicted, reader.labels), elem_id="erc-results")
                table = html(visible=False, elem_id="erc-table")
                with gr.Row(visible=False) as downloads:
                    buttons = [
                        gr.DownloadButton(f"Save as {form}", elem_id=f"erc-get-{suffix[1:]}", **small)
                        for suffix, form in zip(DOWNLOADS, ("CSV", "JSON", "WebVTT"), strict=True)
                    ]
                    picture = gr.DownloadButton("Save as PNG", interactive=False, elem_id="erc-get-png", **small)
        html(f'<p class="erc-care">{CARE}</p>')

        shown = [message, state, results, table, downloads, *buttons, picture]

        def message_update(problem: str | None) -> Any:
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
                message_update(None),
                reading,
                results_view(reading, off),
                gr.update(value=table_view(reading), visible=True),
                gr.update(visible=True),
                *files,
                gr.update(value=None, interactive=False),
            ]

        def fail(error: PageError, reading: Reading | None) -> list[Any]:
            """Shows an error instead of the results; keeps a reading that can be shown again."""
            hidden = [gr.update(visible=False)] * 2
            return [
                message_update(str(error)),
                reading,
                empty_view(reader.predicted, reader.labels),
                *hidden,
                *[gr.skip() for _ in (*buttons, picture)],
            ]

        def read(text: str, path: str | None, modalities: list[str]) -> list[Any]:
            try:
                return show(reader.read(text, Path(path) if path else None, modalities), modalities)
            except PageError as error:
                return fail(error, None)

        def switch(reading: Reading | None, modalities: list[str]) -> list[Any]:
            if reading is None:
                return [gr.skip() for _ in shown]
            try:
                return show(reader.switch(reading, modalities), modalities)
            except PageError as error:
                return fail(error, reading)

        def draw(reading: Reading | None) -> Any:
            """Draws the figure after the results are shown, since that takes longer than short conversations."""
            if reading is None:
                return gr.skip()
            with tempfile.TemporaryDirectory() as written:
                path = Path(written, "emotions.png")
                origin = " by a model of synthetic data" if reader.origin else ""
                write_timeline(reading.shown, path, f"Emotion timeline{origin}")
                kept = save_file_to_cache(path, cache_dir=picture.GRADIO_CACHE)
            return gr.update(value=kept, interactive=True)

        def load() -> tuple[str, str | None]:
            """Returns the example; refers to its folder, which exists as long as the page for that reason."""
            return example_script(), str(Path(folder.name, filmed.name)) if filmed else None

        def fill(lines: Callable[[], tuple[str, list[str]]]) -> list[Any]:
            """Fills the text box, and shows the notes or the error of reading."""
            try:
                text, notes = lines()
            except PageError as error:
                return [gr.skip(), *fail(error, None)]
            update = gr.update(value=notes_view(notes), visible=bool(notes))
            return [text, update, *[gr.skip() for _ in shown[1:]]]

        def take(path: str | None) -> list[Any]:
            if path is None:
                return [gr.skip() for _ in (script, *shown)]
            return fill(lambda: open_conversation(Path(path), reader.limits))

        def hear(path: str | None, count: int | None) -> list[Any]:
            if transcriber is None or path is None:
                return [gr.skip(), *fail(PageError("Attach the recording first."), None)]
            return fill(lambda: transcriber.lines(Path(path), count or None, reader.limits))

        quiet: dict[str, Any] = {"api_visibility": "private"}
        # The model serves one visitor at a time; the others wait in the queue.
        model: dict[str, Any] = {**quiet, "concurrency_id": "model", "concurrency_limit": 1}
        inputs = [script, recording, on]
        drawn: dict[str, Any] = {"inputs": state, "outputs": picture, "show_progress": "hidden", **quiet}
        run.click(read, inputs, shown, show_progress_on=results, **model).then(draw, **drawn)
        on.input(switch, [state, on], shown, show_progress_on=results, **model).then(draw, **drawn)
        opened.upload(take, opened, [script, *shown], **quiet)
        heard.click(hear, [recording, speakers], [script, *shown], show_progress_on=script, **model)
        loaded = example.click(load, None, [script, recording], **quiet)
        loaded.then(read, inputs, shown, **model).then(draw, **drawn)
    page.queue(max_size=32)
    return page
