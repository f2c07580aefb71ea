// A photo to search with: chosen, taken, dropped or pasted; made small here; kept until the tab is closed.
import { by, dialog, icon, keep, kept, made, say, tell } from "./core.js";

const SIDE = 640;
let go = () => {};
let wanted = () => true;

/** base64 of the photo that an address names; null where this tab does not have it. */
export const photoOf = (name) => (kept(sessionStorage, "photo-name") === name ? kept(sessionStorage, "photo") : null);

export function shown(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })); // the policy of the page allows blob:, not data:
}

const base64Of = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = reject;
  reader.readAsDataURL(blob);
});

async function small(file) {
  const image = await createImageBitmap(file); // turned upright, as the file says
  const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
  const canvas = made("canvas", { width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale)) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

async function take(file) {
  if (!wanted()) {
    tell(say("no-photos"), true);
    return false;
  }
  let blob;
  try {
    blob = await small(file);
  } catch {
    tell(say("photo-not"), true);
    return false;
  }
  const name = Date.now().toString(36);
  keep(sessionStorage, "photo", await base64Of(blob));
  keep(sessionStorage, "photo-name", name);
  go(name);
  return true;
}

function chooser() {
  dialog(say("photo-title"), (end) => {
    const taken = async (file) => { if (file && await take(file)) end(null); };
    const input = (id, capture) => made("input", { type: "file", accept: "image/*", id, className: "unseen", capture, onchange: (event) => taken(event.target.files[0]) });
    const zone = made("div", { className: "zone" }, icon("camera"), made("p", {}, say("photo-drop")), made("p", { className: "hint" }, say("photo-or")),
      made("div", { className: "row" },
        made("span", { className: "pick" }, input("photo-file"), made("label", { htmlFor: "photo-file", className: "button main" }, say("photo-choose"))),
        made("span", { className: "pick" }, input("photo-camera", "environment"), made("label", { htmlFor: "photo-camera", className: "button" }, say("photo-camera")))));
    return [zone, made("p", { className: "hint" }, say("photo-private"))];
  });
}

/** Buttons and the whole page as a place to drop on. `found(name)` opens the results; `can()` says whether there are any. */
export function watchPhotos(found, can) {
  [go, wanted] = [found, can];
  by("photo").addEventListener("click", chooser);
  const files = (event) => [...(event.dataTransfer ?? event.clipboardData)?.items ?? []].some((one) => one.kind === "file");
  let depth = 0;
  const over = (on) => { depth = on ? depth : 0; document.body.classList.toggle("dropping", on && wanted()); };
  addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; over(true); } });
  addEventListener("dragleave", (event) => { if (files(event) && --depth <= 0) over(false); });
  addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  addEventListener("drop", async (event) => {
    const file = event.dataTransfer.files[0];
    if (!file) return;
    event.preventDefault();
    over(false);
    if (await take(file)) document.querySelector("dialog")?.dispatchEvent(new Event("cancel", { cancelable: true }));
  });
  addEventListener("paste", (event) => { const file = event.clipboardData?.files[0]; if (file?.type.startsWith("image/")) take(file); });
}
