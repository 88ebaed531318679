// A button for a picture of one's own. What is large is made smaller here: the notebook's server
// drops a message of more than 10 MB without a word.
const LARGE = 4e6; // bytes
const SIDE = 1024; // pixels of a picture that was made smaller, at most

async function smaller(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  return blob.arrayBuffer();
}

function render({ model, el }) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "file", accept: "image/*" });
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  label.append("your own picture ", input);
  el.append(label, said);
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    const size = `${(file.size / 1e6).toFixed(1)} MB`;
    said.textContent = "";
    try {
      if (file.size > LARGE) said.textContent = ` ${file.name}: ${size}, made smaller here.`;
      const content = file.size > LARGE ? await smaller(file) : await file.arrayBuffer();
      model.send({ name: file.name }, undefined, [content]);
    } catch {
      said.textContent = ` ${file.name}: of ${size}, and this browser cannot read it as a ` +
        "picture to make it smaller. It may be no picture, or have too many pixels.";
    }
    input.value = ""; // so that the same file can be chosen again
  });
}

export default { render };
