// The page of `zerotohero chat --web`. The turns live here, in this tab, and go along with each
// question; the server keeps none. All text is set as text, never as HTML.
"use strict";

const at = (id) => document.getElementById(id);
const tab = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16)).join("-");
let partner = { answers: true, system: true };
let turns = []; // {role, content}, the user's and the assistant's by turns
let state = { forgotten: 0, cut: false }; // what of them the model no longer reads
let answering = null; // the AbortController of the answer that is being written

function line(kind, who, text) {
  const item = document.createElement("li");
  item.className = kind;
  if (who) item.dataset.who = who;
  item.textContent = text;
  at("turns").append(item);
  scrollTo(0, document.documentElement.scrollHeight);
  return item;
}

function grow(item, text) {
  const page = document.documentElement;
  const following = page.scrollHeight - innerHeight - scrollY < 80; // or one reads further above
  item.append(text);
  if (following) scrollTo(0, page.scrollHeight);
}

async function* received(response) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const one of lines) if (one) yield JSON.parse(one);
  }
}

function busy(controller) {
  answering = controller;
  at("stop").disabled = !controller;
  at("send").disabled = !!controller;
  at("turns").setAttribute("aria-busy", String(!!controller));
}

async function send() {
  const text = at("text").value;
  if (answering || (partner.answers && !text.trim())) return;
  const controller = new AbortController();
  busy(controller);
  at("text").value = "";
  const asked = line("user", "You", text);
  const answer = line("assistant writing", partner.answers ? "Model" : "It continues", "");
  const turn = { role: "assistant", content: "" };
  const mine = turns; // a new conversation may begin meanwhile
  const notes = [];
  let complaint = "";
  try {
    const response = await fetch("answer", {
      method: "POST",
      signal: controller.signal,
      body: JSON.stringify({
        tab,
        turns: [...turns, { role: "user", content: text }],
        system: at("system").value.trim() || null,
        temperature: Number(at("temperature").value),
        ...state,
      }),
    });
    for await (const said of received(response)) {
      if (said.error) complaint = said.error;
      if (said.text) {
        turn.content += said.text;
        grow(answer, said.text);
      }
      if (said.note) {
        state = { forgotten: said.forgotten, cut: said.cut };
        notes.push(said.note);
      }
    }
  } catch (error) {
    if (controller.signal.aborted) notes.push("Stopped.");
    else complaint = "The connection is lost: is `zerotohero chat --web` still running?";
  }
  answer.classList.remove("writing");
  if (mine === turns) {
    if (turn.content) {
      turns.push({ role: "user", content: text }, turn);
    } else {
      asked.remove();
      answer.remove();
      if (!at("text").value) at("text").value = text;
    }
    for (const note of notes) line("note", "", note);
    if (complaint) line("error", "", complaint).setAttribute("role", "alert");
  }
  if (answering === controller) busy(null);
  at("text").focus();
}

function stop() {
  if (answering) answering.abort();
}

function reset() {
  stop();
  busy(null);
  turns = [];
  state = { forgotten: 0, cut: false };
  at("turns").replaceChildren();
  at("text").focus();
}

async function begin() {
  try {
    partner = await (await fetch("about")).json();
  } catch (error) {
    at("says").textContent = "The connection is lost: is `zerotohero chat --web` still running?";
    return;
  }
  at("says").textContent = partner.says;
  at("for-system").hidden = !partner.system;
  at("temperature").value = partner.temperature;
  at("shown").textContent = at("temperature").value;
  at("text").focus();
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
at("stop").addEventListener("click", stop);
at("reset").addEventListener("click", reset);
at("temperature").addEventListener("input", () => {
  at("shown").textContent = at("temperature").value;
});
begin();
