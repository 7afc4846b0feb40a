// Refresh in place, and filter while typing. The pages are whole without it.
"use strict";

const form = document.getElementById("filter");
const pause = document.getElementById("pause");
const words = document.getElementById("live-words");
const period = Number(document.body.dataset.refresh) * 1000;
let newest = 0;

// Announces to a screen reader only what has changed.
function say(text) {
  if (words.textContent !== text) words.textContent = text;
}

// Where the focus is, so that it can be given back to the same link or summary.
function focused(region) {
  const element = document.activeElement;
  if (!element || !region.contains(element)) return null;
  if (element.id) return "#" + CSS.escape(element.id);
  const owner = element.closest("details[id]");
  if (owner) return "#" + CSS.escape(owner.id) + " > " + element.tagName;
  const link = element.getAttribute("href");
  return link === null ? null : 'a[href="' + CSS.escape(link) + '"]';
}

function replace(region, fresh) {
  if (region.innerHTML === fresh.innerHTML) return;
  const focus = focused(region);
  const places = [];
  for (const details of region.querySelectorAll("details[id]")) {
    const same = fresh.querySelector("#" + CSS.escape(details.id));
    if (!same) continue;
    same.open = details.open;
    const [lines, fresher] = [details, same].map((it) => it.querySelector(":scope > .lines"));
    if (lines && fresher) places.push([fresher, lines.scrollTop, lines.scrollLeft]);
  }
  region.replaceChildren(...fresh.childNodes);
  for (const [lines, top, left] of places) lines.scrollTo(left, top);
  if (focus) region.querySelector(focus)?.focus({ preventScroll: true });
}

// A region that comes or goes, as the first delivery report does, takes its place among the others.
function adopt(page) {
  const main = document.getElementById("main");
  const fresh = [...page.querySelectorAll("main > *")];
  for (const region of main.querySelectorAll(":scope > [data-live]")) {
    if (!page.getElementById(region.id)) region.remove();
  }
  let before = null;
  for (const element of fresh) {
    const known = element.id && document.getElementById(element.id);
    if (known && known.parentElement === main) {
      if (element.hasAttribute("data-live")) replace(known, element);
      before = known;
    } else if (element.hasAttribute("data-live")) {
      if (before) before.after(element); else main.prepend(element);
      before = element;
    }
  }
}

// The target was removed: the exporter's own page about that takes the place of what was known.
function replaced(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  if (!page.querySelector("#main > .absent")) return false;
  if (!document.body.dataset.absent) {
    document.getElementById("main").replaceChildren(...page.getElementById("main").childNodes);
    document.title = page.title;
    document.body.dataset.absent = "true";
  }
  return true;
}

async function load(address, announce) {
  const turn = ++newest;
  const { scrollX, scrollY } = window;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
    const text = await answer.text();
    if (turn !== newest) return;
    if (answer.status === 404 && replaced(text)) return say(document.querySelector(".absent p").textContent);
    if (!answer.ok) throw new Error("status " + answer.status);
    // What is back is not made of the page that said that it was gone.
    if (document.body.dataset.absent) return location.reload();
    adopt(new DOMParser().parseFromString(text, "text/html"));
    window.scrollTo(scrollX, scrollY);
    const count = document.getElementById("count");
    say(announce && count ? count.textContent : "");
    document.body.dataset.loaded = String(Number(document.body.dataset.loaded || 0) + 1);
  } catch {
    if (turn === newest) say("The exporter does not answer. This is its last known state.");
  }
}

function isPaused() {
  return pause.getAttribute("aria-pressed") === "true";
}

function tick() {
  if (!isPaused() && !document.hidden) load(location.href, false);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  pause.setAttribute("aria-pressed", String(!isPaused()));
  tick();
});
setInterval(tick, period);
document.addEventListener("visibilitychange", tick);

if (form) {
  let waiting;
  const show = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value.trim() && !(name === "sort" && value === "worst")) query.set(name, value.trim());
    }
    const address = form.getAttribute("action") + (query.size ? "?" + query : "");
    history.replaceState(null, "", address);
    load(address, true);
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    show();
  });
  form.querySelector("button").hidden = true;
}
