// One door to all that the laboratory has.
import { mountGame } from "./arena.js";
import { mountFrequency } from "./frequency.js";
import { mountLaboratory, stateOf } from "./laboratory.js";
import { mountTransfer } from "./transfer.js";
import { mountWalk } from "./walk.js";

const OTHERS = { game: mountGame, frequency: mountFrequency, transfer: mountTransfer, walk: mountWalk };

/**
 * Build inside an element what `kind` says: one of OTHERS, or a state to start from.
 * @param {HTMLElement} root @param {string} kind @param {object} source @param {object} options
 */
export function mount(root, kind, source, options = {}) {
  // Keys that a control takes are not the notebook's or the slides', too.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, canvas")) event.stopPropagation();
  });
  if (OTHERS[kind]) return OTHERS[kind](root, source);
  return mountLaboratory(root, source, { state: stateOf(kind), ...options });
}
