// Theme, menu, copy buttons and search of the pages; all of it works from file://.
"use strict";

const up = document.body.dataset.up;
const root = document.documentElement;

// --- light and dark: as the system says, until somebody chooses ---

document.querySelector("button.theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.body).colorScheme.startsWith("dark") ||
    (!root.className && matchMedia("(prefers-color-scheme: dark)").matches);
  const chosen = dark ? "light" : "dark";
  root.className = `quarto-${chosen}`;
  localStorage.setItem("theme", chosen);
});

// --- the menu on a narrow screen ---

const menu = document.querySelector("button.menu");

function showMenu(open) {
  document.body.classList.toggle("menu-open", open);
  menu.setAttribute("aria-expanded", open);
}

menu.addEventListener("click", () => showMenu(menu.getAttribute("aria-expanded") !== "true"));
document.querySelector("main").addEventListener("click", () => showMenu(false));
document.querySelector("#sidebar [aria-current]")?.scrollIntoView({ block: "center" });
scrollTo(0, 0);

// --- code is copied by a button ---

for (const block of document.querySelectorAll("div.code, div.highlight")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "⧉";
  button.title = button.ariaLabel = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("pre").textContent);
    button.textContent = "✓";
    setTimeout(() => (button.textContent = "⧉"), 1500);
  });
  block.append(button);
}

// --- an anchor within something folded opens it ---

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target?.parentElement; one; one = one.parentElement) {
    if (one.tagName === "DETAILS") one.open = true;
  }
  target?.scrollIntoView();
}

addEventListener("hashchange", reveal);
reveal();

// --- the table of contents says where one is ---

const links = [...document.querySelectorAll("nav.contents a")];
const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    if (!isIntersecting) continue;
    for (const link of links) link.classList.toggle("here", link.hash === `#${target.id}`);
  }
}, { rootMargin: "-10% 0px -75% 0px" });
for (const link of links) seen.observe(document.getElementById(decodeURIComponent(link.hash.slice(1))));

// --- search ---

const input = document.querySelector(".search input");
const found = document.getElementById("found");
let index;

function load(name) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${up}theme/${name}`;
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
}

async function ready() {
  if (index) return;
  await Promise.all([load("elasticlunr.min.js"), load("known.js")]);
  elasticlunr.tokenizer.setSeperator(/[^\p{L}\p{N}_]+/u); // spelled so there
  index = elasticlunr(function () {
    this.pipeline.reset(); // its trimmer takes Hangul for punctuation
    this.pipeline.add(elasticlunr.stopWordFilter, elasticlunr.stemmer);
    this.setRef("id");
    for (const field of ["title", "text"]) this.addField(field);
    this.saveDocument(false);
  });
  known.forEach((entry, id) => index.addDoc({ id, title: entry.title, text: entry.text }));
}

function results(words) {
  const fields = { title: { boost: 4 }, text: { boost: 1 } };
  const hits = index.search(words, { fields, bool: "AND", expand: true });
  const exact = words.trim().toLowerCase();
  const weight = ({ ref, score }) => score * (known[ref].title.toLowerCase() === exact ? 100 : 1);
  return hits.sort((a, b) => weight(b) - weight(a)).slice(0, 12).map(({ ref }) => known[ref]);
}

function excerpt(text, words) {
  const first = words.trim().split(/\s+/)[0].toLowerCase();
  const place = Math.max(0, text.toLowerCase().indexOf(first) - 40);
  return (place ? "… " : "") + text.slice(place, place + 130);
}

function shown(entry, words) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const title = document.createElement(entry.kind ? "code" : "strong");
  const about = document.createElement("span");
  link.href = up + entry.url;
  title.textContent = entry.title;
  about.textContent = excerpt(entry.text, words);
  link.append(title, about);
  item.append(link);
  return item;
}

async function search() {
  const words = input.value;
  if (words.trim().length < 2) {
    found.hidden = true;
    return;
  }
  await ready();
  if (words !== input.value) return;
  const items = results(words).map((entry) => shown(entry, words));
  found.replaceChildren(...items);
  if (!items.length) found.textContent = input.dataset.nothing;
  found.hidden = false;
}

function move(step) {
  const all = [...found.querySelectorAll("a")];
  const next = all.indexOf(document.activeElement) + step;
  (next < 0 ? input : all[Math.min(next, all.length - 1)])?.focus();
}

input.addEventListener("focus", ready);
input.addEventListener("input", search);
addEventListener("keydown", (event) => {
  const within = event.target.closest?.(".search");
  if (event.key === "/" && !event.target.matches("input, textarea, [contenteditable]")) {
    event.preventDefault();
    input.focus();
  } else if (within && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  } else if (within && event.key === "Enter" && event.target === input) {
    found.querySelector("a")?.click();
  } else if (event.key === "Escape") {
    found.hidden = true;
    showMenu(false);
  }
});
addEventListener("click", (event) => {
  if (!event.target.closest(".search") || event.target.closest("#found a")) found.hidden = true;
});
