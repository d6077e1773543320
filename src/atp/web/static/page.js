// Every page works without this script. It sends the form of a one-time link, copies commands, keeps lists fresh, and
// listens to keys.
"use strict";

const PAUSE_MS = 5000;
const LIVE = { headers: { "X-ATP-Live": "1" } };

function addCopyButtons() {
  for (const block of document.querySelectorAll(".copyable")) {
    if (block.querySelector("button")) continue;
    const code = block.querySelector("code");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      // Browsers keep the clipboard from pages that came by plain HTTP from another machine.
      if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
      else getSelection().selectAllChildren(code);
      button.textContent = navigator.clipboard ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    block.append(button);
  }
}

async function fetchPage(address) {
  const answer = await fetch(address, LIVE);
  if (answer.status === 401) throw new Error("signed out");
  if (answer.status !== 200) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Nobody is pointing at, selecting or reading what would move.
function isCalm(list) {
  return scrollY < 40 && !list.matches(":hover, :focus-within") && getSelection().isCollapsed;
}

function replace(selector, page) {
  const fresh = page.querySelector(selector);
  document.querySelector(selector).replaceWith(fresh);
  addCopyButtons();
  return fresh;
}

async function refreshTimeline(live) {
  const news = await fetchPage(live.dataset.new);
  const list = document.querySelector("#timeline");
  if (!news) return;
  const link = news.querySelector("a");
  if (live.dataset.page !== "first" || !isCalm(list)) {
    if (live.textContent.trim() !== link.textContent.trim()) live.replaceChildren(link);
    return;
  }
  const page = await fetchPage(location.href);
  if (!page) return;
  const size = Number(list.dataset.size);
  for (const row of replace("#timeline", page).querySelectorAll("tr[data-index]")) {
    row.classList.toggle("new", Number(row.dataset.index) >= size);
  }
  live.dataset.new = page.querySelector("#live").dataset.new;
  live.textContent = link.textContent;
}

async function refreshState() {
  const page = await fetchPage(location.href);
  if (page && isCalm(document.querySelector("#state"))) replace("#state", page);
}

function keepFresh() {
  const live = document.querySelector("#live[data-new]");
  const refresh = live ? () => refreshTimeline(live) : document.querySelector("[data-refresh]") && refreshState;
  if (!refresh) return;
  let timer = 0;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      await refresh();
    } catch (error) {
      if (error.message === "signed out") {
        location.reload();
        return;
      }
    }
    timer = setTimeout(turn, PAUSE_MS);
  };
  document.addEventListener("visibilitychange", turn);
  timer = setTimeout(turn, PAUSE_MS);
}

function move(step) {
  const links = [...document.querySelectorAll("a.open")];
  const row = document.activeElement.closest("tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  const next = links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step))];
  if (next) next.focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const search = document.querySelector("#text");
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
}

addCopyButtons();
keepFresh();
document.addEventListener("keydown", onKey);
document.querySelector("form[data-auto]")?.requestSubmit();
