// What htmx does not do: say how old the numbers are, pause and resume the
// stream, revive it when it is silent, and open the confirmation dialog.
const live = document.querySelector(".live");
const text = live.querySelector(".live-text");
const button = live.querySelector("button");
const dialog = document.querySelector("#confirm");
const silence = 8000; // ms without a message after which the stream counts as lost

let stream = document.querySelector("#stream");
const pristine = stream.cloneNode(false);
let updated = 0; // when the last message came, performance.now()
let begun = performance.now(); // when the present connection was asked for
let paused = false;
let lost = false;

function say(state, words) {
  if (live.dataset.live !== state) live.dataset.live = state;
  if (text.textContent !== words) text.textContent = words;
}

function age() {
  const s = Math.max(0, Math.round((performance.now() - updated) / 1000));
  return s < 60 ? `${s} s ago` : `${Math.floor(s / 60)} min ago`;
}

function show() {
  const when = updated ? `updated ${age()}` : "no numbers yet";
  if (paused) say("paused", `Paused, ${when}`);
  else if (lost) say("lost", `Connection lost, retrying; ${when}`);
  else if (!updated) say("connecting", "Connecting");
  else say("live", `Live, ${when}`);
}

function disconnect() {
  stream.remove();
}

// A new element makes a new connection, and a new connection gets everything.
function connect() {
  disconnect();
  begun = performance.now();
  stream = pristine.cloneNode(false);
  document.body.append(stream);
  htmx.process(stream);
}

function arrived(event) {
  if (event.target !== stream) return;
  updated = performance.now();
  lost = false;
  show();
}

document.addEventListener("htmx:sse:after:message", arrived);
for (const trouble of ["htmx:sse:error", "htmx:sse:close", "htmx:response:error", "htmx:error"]) {
  document.addEventListener(trouble, (event) => {
    if (event.target === stream && !document.hidden) lost = true;
    show();
  });
}

button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Resume" : "Pause";
  if (paused) disconnect();
  else connect();
  show();
});

// htmx hangs up while the tab is hidden; that is not a loss.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) begun = performance.now();
});

setInterval(() => {
  const quiet = performance.now() - Math.max(updated, begun);
  if (!paused && !document.hidden && quiet > silence) {
    lost = true;
    connect();
  }
  show();
}, 1000);

if (dialog) {
  document.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail.ctx?.target; // a selector where the server chose it
    if (target === dialog || target === "#confirm") dialog.open || dialog.showModal();
    else if (target?.id === "action") dialog.close();
  });
  dialog.addEventListener("click", (event) => {
    if (!event.target.closest("[data-close]")) return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => dialog.replaceChildren());
}

live.hidden = false;
show();
