// The demo page. Everything it shows comes from ordinary requests through the node.
"use strict";

const THREADS = 60;
const find = (selector, within = document) => within.querySelector(selector);

function make(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

async function timed(url, options = {}) {
  const begun = performance.now();
  const response = await fetch(url, { cache: "no-store", ...options });
  const body = await response.text();
  return { response, body, took: performance.now() - begun };
}

// --- Kill an origin -------------------------------------------------------

function weave(origin, words) {
  const threads = find("#threads");
  threads.append(make("span", { className: `thread ${origin}`, title: words }));
  while (threads.childElementCount > THREADS) {
    threads.firstElementChild.remove();
  }
}

// Said aloud by screen readers, so only when it changes.
function announce(words) {
  const now = find("#now");
  if (now.textContent !== words) {
    now.textContent = words;
  }
}

async function tick() {
  try {
    const { response, body } = await timed("/clock", { signal: AbortSignal.timeout(5000) });
    if (!response.ok) {
      throw new Error(`${response.status}`);
    }
    const { origin, time } = JSON.parse(body);
    weave(origin, `${time}: ${origin}`);
    announce(`The ${origin} answers.`);
  } catch (error) {
    weave("nobody", `no answer: ${error.message}`);
    announce("Nobody answers.");
  }
}

function showOrigin(state) {
  const card = find(`.origin[data-origin="${state.name}"]`);
  const button = find("button", card);
  card.classList.toggle("down", !state.up);
  find(".state", card).textContent = state.up ? `listening at ${state.address}` : `dead: ${state.address} refuses`;
  button.textContent = state.up ? "Kill" : "Revive";
  button.classList.toggle("danger", state.up);
  button.setAttribute("aria-label", `${button.textContent} the ${state.name} origin`);
  button.dataset.deed = state.up ? "kill" : "revive";
}

async function act(card) {
  const button = find("button", card);
  button.disabled = true;
  try {
    const { response, body } = await timed(`/demo/origin/${card.dataset.origin}/${button.dataset.deed ?? "kill"}`, { method: "POST" });
    if (response.ok) {
      showOrigin(JSON.parse(body));
    }
  } finally {
    button.disabled = false;
  }
}

// --- Miss, then hit -------------------------------------------------------

function row({ response, took }) {
  const cells = [response.headers.get("cache-status") ?? "", response.headers.get("age") ?? "–", `${took.toFixed(1)} ms`];
  const line = make("tr");
  line.append(...cells.map((text) => make("td", { textContent: text })));
  return line;
}

function fresh() {
  return `/distant/${Math.random().toString(36).slice(2, 10)}`;
}

async function askThrice() {
  const url = fresh();
  const rows = [];
  for (let count = 0; count < 3; count += 1) {
    rows.push(row(await timed(url)));
  }
  find("#asked tbody").replaceChildren(...rows);
}

// Over HTTP/1.1 browsers open few connections and queue the rest: those become hits.
async function askCrowd() {
  const url = fresh();
  const answers = await Promise.all(Array.from({ length: 50 }, () => timed(url)));
  const kinds = new Map();
  for (const { response } of answers) {
    const status = (response.headers.get("cache-status") ?? "").replace(/;\s*ttl=-?\d+/, "");
    kinds.set(status, (kinds.get(status) ?? 0) + 1);
  }
  const good = answers.filter(({ response }) => response.ok);
  const made = new Set(good.map(({ body }) => body)).size;
  const rows = [...kinds].map(([status, count]) => {
    const line = make("tr");
    line.append(make("td", { textContent: `${count} × ${status}` }), make("td", { textContent: "–" }), make("td"));
    return line;
  });
  const words = good.length < answers.length
    ? `${answers.length - good.length} got an error.`
    : `The origin was asked ${made === 1 ? "once" : `${made} times`}.`;
  const sum = make("tr");
  sum.append(make("td", { colSpan: 3, textContent: words }));
  find("#asked tbody").replaceChildren(...rows, sum);
}

// --- Smaller on the way ---------------------------------------------------

async function weigh() {
  const url = new URL("/script.js", location.href).href;
  performance.clearResourceTimings();
  await timed(url, { cache: "reload" });
  // The entry is written after the body has been read.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const entry = performance.getEntriesByName(url).pop();
  if (!entry) {
    find("#weight").textContent = "This browser does not say.";
    return;
  }
  const share = Math.round((entry.encodedBodySize / entry.decodedBodySize) * 100);
  find("#weight").textContent = `${entry.encodedBodySize} of ${entry.decodedBodySize} bytes crossed the wire: ${share} %.`;
}

// --- Thumbnails -----------------------------------------------------------

function captionPictures() {
  for (const figure of document.querySelectorAll("figure")) {
    const image = find("img", figure);
    const entry = performance.getEntriesByName(image.src).pop();
    const caption = find("figcaption", figure);
    if (entry?.encodedBodySize && !caption.dataset.weighed) {
      caption.textContent += `, ${(entry.encodedBodySize / 1024).toFixed(1)} KiB`;
      caption.dataset.weighed = "yes";
    }
  }
}

// --- Signed links ---------------------------------------------------------

async function knock() {
  for (const item of document.querySelectorAll("#links li")) {
    const { response, body } = await timed(find("a", item).href, { headers: { Accept: "application/json, */*" } });
    const output = find("output", item);
    output.className = response.ok ? "yes" : "no";
    let reason = "";
    try {
      reason = `: ${JSON.parse(body).error}`;
    } catch {
      // The report itself is a page.
    }
    output.textContent = `${response.status}${response.ok ? "" : reason}`;
  }
}

// --- Everything together --------------------------------------------------

async function learn() {
  const { response, body } = await timed("/demo/state");
  if (!response.ok) {
    return;
  }
  const { origins, links, steps } = JSON.parse(body);
  origins.forEach(showOrigin);
  for (const link of document.querySelectorAll("a[data-link]")) {
    link.href = links[link.dataset.link];
  }
  for (const block of document.querySelectorAll("pre[data-step]")) {
    const lines = steps?.[block.dataset.step] ?? [];
    // Left alone while nothing changes, so that a selection survives.
    if (block.childElementCount === 0) {
      block.replaceChildren(...lines.map((line) => make("code", { textContent: `${line}\n` })));
    }
  }
}

function onClick(selector, work) {
  const button = find(selector);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await work();
    } finally {
      button.disabled = false;
    }
  });
}

onClick("#ask", askThrice);
onClick("#crowd", askCrowd);
onClick("#weigh", weigh);
onClick("#knock", knock);
for (const card of document.querySelectorAll(".origin")) {
  find("button", card).addEventListener("click", () => act(card));
}
addEventListener("load", captionPictures);
learn();
tick();
// A page that nobody looks at leaves the node in peace.
setInterval(() => document.hidden || tick(), 1000);
// Somebody may kill an origin from a terminal, too.
setInterval(() => document.hidden || learn(), 5000);
