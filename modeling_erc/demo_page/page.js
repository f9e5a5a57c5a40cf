// Behaviour of the page: keyboard, pages of turns, jumps to a row, and playing a turn.
"use strict";
(() => {
  let stopAt = Infinity;

  function showPage(number) {
    for (const part of document.querySelectorAll("[data-erc-page]")) {
      part.hidden = part.dataset.ercPage !== number;
    }
    for (const button of document.querySelectorAll("[data-erc-show]")) {
      button.setAttribute("aria-current", String(button.dataset.ercShow === number));
    }
  }

  function jumpTo(row) {
    const page = row.closest("[data-erc-page]");
    if (page.hidden) showPage(page.dataset.ercPage);
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  }

  function play(button) {
    const player = document.getElementById("erc-player");
    player.currentTime = Number(button.dataset.ercStart);
    stopAt = button.dataset.ercEnd === "" ? Infinity : Number(button.dataset.ercEnd);
    // The event "error" reports files that the browser cannot play.
    player.play().then(() => stopInTime(player), () => {});
  }

  // The event "timeupdate" comes up to a quarter of a second late.
  function stopInTime(player) {
    if (player.currentTime >= stopAt) {
      player.pause();
      stopAt = Infinity;
    } else if (!player.paused) {
      requestAnimationFrame(() => stopInTime(player));
    }
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("#erc-script")) {
      event.preventDefault();
      document.getElementById("erc-run").click();
    }
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#erc-turn-']");
    const show = event.target.closest("[data-erc-show]");
    const button = event.target.closest("[data-erc-start]");
    if (link) {
      event.preventDefault(); // gradio would read the new address as another page
      jumpTo(document.querySelector(link.getAttribute("href")));
    }
    if (show) showPage(show.dataset.ercShow);
    if (button) play(button);
  });

  // Media events do not bubble, so they are caught on their way down.
  document.addEventListener("error", ({ target }) => {
    if (target.id === "erc-player") document.getElementById("erc-unplayable").hidden = false;
  }, true);
})();
