// Renews the parts of a view from its stream of events, says when no news come, and copies commands.
// Only the server's clock is shown. This browser's clock may be wrong; here it measures durations alone.

const QUIET_MS = 5000; // the server sends something every second
const body = document.body;
const line = document.getElementById("stream");
const title = document.title;
const pending = new Map(); // parts that wait until nobody selects text in them
const heldMs = new Map(); // parts that say that something was copied, and until when
let source = null;
let heardMs = performance.now();
let lastTime = "";
let retryMs = 1000;
let full = false;
let hiddenTimer = 0;

/** Shows a part. Text that somebody is selecting stays until the selection ends; the focus stays where it is. */
function show(name, html) {
  const part = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
  if (!part) return;
  const selection = document.getSelection();
  const selected = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  if (selected || (heldMs.get(part) ?? 0) > performance.now()) {
    pending.set(name, html);
    return;
  }
  pending.delete(name);
  const focused = part.contains(document.activeElement) ? [...part.querySelectorAll("a, button, [tabindex]")] : null;
  const index = focused ? focused.indexOf(document.activeElement) : -1;
  part.innerHTML = html; // rendered and escaped by our own server
  if (index >= 0) part.querySelectorAll("a, button, [tabindex]")[index]?.focus({ preventScroll: true });
}

function heard(event) {
  const frame = JSON.parse(event.data);
  heardMs = performance.now();
  lastTime = frame.about.time;
  const severity = frame.about.severity ?? "OK";
  const shown = severity === "OK" ? title : `${severity} · ${title}`; // seen on the tab of another page
  if (document.title !== shown) document.title = shown;
  retryMs = 1000;
  full = false;
  for (const [name, html] of [...pending, ...Object.entries(frame.parts)]) show(name, html);
  body.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  say();
}

function say() {
  if (!line) return;
  const quietMs = performance.now() - heardMs;
  const lost = quietMs > QUIET_MS;
  body.classList.toggle("lost", lost);
  let text = lastTime ? `${line.dataset.live} · ${lastTime} HKT` : line.dataset.connecting;
  if (lost && lastTime) {
    text = line.dataset.lost.replace("{seconds}", Math.round(quietMs / 1000)).replace("{time}", lastTime);
  }
  if (full) text = line.dataset.full;
  if (line.textContent !== text) line.textContent = text;
}

function close() {
  source?.close();
  source = null;
}

function connect() {
  close();
  source = new EventSource(body.dataset.stream);
  source.addEventListener("message", heard);
  source.addEventListener("error", failed);
}

/** EventSource connects again by itself after a lost connection, but not after a refusal. */
async function failed() {
  if (source?.readyState !== EventSource.CLOSED) return;
  close();
  try {
    const answer = await fetch("/alive", { cache: "no-store" });
    if (answer.status === 401) {
      location.reload(); // to the login
      return;
    }
    full = answer.ok; // the page answers and the stream was refused
  } catch {
    full = false; // nobody answers
  }
  say();
  retryMs = Math.min(retryMs * 2, 10000);
  setTimeout(() => source ?? connect(), retryMs);
}

// A phone that slept may hold a connection that is dead: a silent one is replaced.
setInterval(() => {
  say();
  if (!document.hidden && source && performance.now() - heardMs > 2 * QUIET_MS && retryMs < 10000) {
    retryMs = Math.min(retryMs * 2, 10000);
    connect();
  }
}, 1000);

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(close, 10000);
  else if (!source || performance.now() - heardMs > QUIET_MS) connect();
  say();
});
window.addEventListener("online", () => connect());
window.addEventListener("pageshow", (event) => event.persisted && connect());

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return true;
  }
  const area = document.createElement("textarea"); // a page over plain HTTP has no clipboard
  area.value = text;
  area.readOnly = true;
  area.className = "unseen";
  body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  let done = false;
  try {
    done = await copy(button.parentElement.querySelector("code").textContent);
  } catch {
    done = false;
  }
  button.focus({ preventScroll: true });
  heldMs.set(button.closest("[data-part]"), performance.now() + 2000);
  button.textContent = done ? body.dataset.copied : body.dataset.copyFailed;
  setTimeout(() => (button.textContent = before), 2000);
});

if (body.dataset.stream) connect();
