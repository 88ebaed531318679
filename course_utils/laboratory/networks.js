// The course's networks: logits of an image, and the gradient of a mix of logits in its pixels.

/**
 * @typedef {{type: string, inputs?: number, outputs?: number, pieces?: number}} Layer
 * @typedef {{name: string, layers: Layer[], precision: string, bound?: number, note?: string}} Plan
 */

/** Decode base64. @param {string} text @returns {Uint8Array} */
export function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** Widen IEEE halves to floats. @param {Uint16Array} halves @returns {Float32Array} */
export function widen(halves) {
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i], exponent = (h >> 10) & 31, fraction = h & 1023;
    const size = exponent
      ? (exponent === 31 ? (fraction ? NaN : Infinity) : 2 ** (exponent - 15) * (1 + fraction / 1024))
      : 2 ** -14 * (fraction / 1024);
    floats[i] = h & 0x8000 ? -size : size;
  }
  return floats;
}

const KINDS = {
  dense: {
    size: (l) => l.inputs * l.outputs + l.outputs,
    // Four rows at once: sums that do not wait for one another, and a quarter of the reads of x.
    forward(l, x, w) {
      const n = l.inputs, m = l.outputs, y = Float64Array.from(w.subarray(n * m, n * m + m));
      let o = 0;
      for (; o + 4 <= m; o += 4) {
        let a = 0, b = 0, c = 0, d = 0;
        for (let i = 0, at = o * n; i < n; i++, at++) {
          const v = x[i];
          a += w[at] * v;
          b += w[at + n] * v;
          c += w[at + 2 * n] * v;
          d += w[at + 3 * n] * v;
        }
        y[o] += a;
        y[o + 1] += b;
        y[o + 2] += c;
        y[o + 3] += d;
      }
      for (; o < m; o++) for (let i = 0, at = o * n; i < n; i++) y[o] += w[at + i] * x[i];
      return y;
    },
    backward(l, x, y, dy, w) {
      const n = l.inputs, dx = new Float64Array(n), rows = [];
      for (let o = 0; o < l.outputs; o++) if (dy[o]) rows.push(o);
      while (rows.length % 4) rows.push(l.outputs);  // a row of slope 0
      for (let k = 0; k < rows.length; k += 4) {
        const [a, b, c, d] = rows.slice(k, k + 4).map((o) => dy[o] || 0);
        let [p, q, r, s] = rows.slice(k, k + 4).map((o) => (o < l.outputs ? o * n : 0));
        for (let i = 0; i < n; i++) dx[i] += a * w[p++] + b * w[q++] + c * w[r++] + d * w[s++];
      }
      return dx;
    },
  },
  sigmoid: {
    size: () => 0,
    forward: (l, x) => x.map((v) => 1 / (1 + Math.exp(-v))),
    backward: (l, x, y, dy) => dy.map((d, i) => d * y[i] * (1 - y[i])),
  },
  rectifier: {
    size: () => 0,
    forward: (l, x) => x.map((v) => (v > 0 ? v : 0)),
    backward: (l, x, y, dy) => dy.map((d, i) => (x[i] > 0 ? d : 0)),
  },
  maxout: {  // unit u is the largest of x[u], x[units + u], ...: the first of equals gets the slope
    size: () => 0,
    forward(l, x) {
      const units = x.length / l.pieces;
      const y = x.slice(0, units);
      for (let i = units; i < x.length; i++) if (x[i] > y[i % units]) y[i % units] = x[i];
      return y;
    },
    backward(l, x, y, dy) {
      const units = y.length, dx = new Float64Array(x.length), given = new Uint8Array(units);
      for (let i = 0; i < x.length; i++) {
        const u = i % units;
        if (!given[u] && x[i] === y[u]) { dx[i] = dy[u]; given[u] = 1; }
      }
      return dx;
    },
  },
  rbf: {  // the log-odds of exp(-distance), distance = sum of b (x - mean)^2
    size: (l) => 2 * l.inputs * l.outputs,
    forward(l, x, w) {
      const n = l.inputs, all = n * l.outputs;
      return Float64Array.from({ length: l.outputs }, (_, k) => {
        let distance = 0;
        for (let i = 0; i < n; i++) distance += w[all + k * n + i] * (x[i] - w[k * n + i]) ** 2;
        distance = Math.max(distance, 1e-6);
        return distance < 20 ? -Math.log(Math.expm1(distance)) : -distance;
      });
    },
    backward(l, x, y, dy, w) {
      const n = l.inputs, all = n * l.outputs, dx = new Float64Array(n);
      for (let k = 0; k < l.outputs; k++) {
        // y = -log(e^d - 1), so dy/dd = -1 / (1 - e^-d) = -(1 + e^y), where d is above 1e-6
        const slope = -dy[k] * (y[k] > -20 ? 1 + Math.exp(y[k]) : 1);
        if (slope && y[k] < 13.8) {
          for (let i = 0; i < n; i++) dx[i] += 2 * slope * w[all + k * n + i] * (x[i] - w[k * n + i]);
        }
      }
      return dx;
    },
  },
};

export class Network {
  /** @param {Plan} plan @param {Float32Array} weights each layer's in turn: rows, then biases */
  constructor(plan, weights) {
    this.plan = plan;
    this.layers = [];
    let at = 0;
    for (const layer of plan.layers) {
      const kind = KINDS[layer.type];
      if (!kind) throw new Error(`${plan.name}: unknown layer ${layer.type}`);
      const size = kind.size(layer);
      this.layers.push({ layer, kind, weights: weights.subarray(at, at + size) });
      at += size;
    }
    if (at !== weights.length) {
      throw new Error(`${plan.name}: ${weights.length} weights came, ${at} were expected`);
    }
  }

  /** @param {{plan: Plan, weights: string}} stored weights in base64, little endian */
  static from(stored) {
    const { buffer } = bytesOf(stored.weights);
    const half = stored.plan.precision === "float16";
    return new Network(
      stored.plan, half ? widen(new Uint16Array(buffer)) : new Float32Array(buffer));
  }

  /** @param {ArrayLike<number>} image pixels in [0, 1] @returns {Float64Array} logits */
  logits(image) {
    this.values = [Float64Array.from(image)];
    for (const { layer, kind, weights } of this.layers) {
      this.values.push(kind.forward(layer, this.values[this.values.length - 1], weights));
    }
    return this.values[this.values.length - 1];
  }

  /**
   * Logits along a line: t to those of image + t * way. What a first dense layer does to the two
   * is computed once, so that a step costs the other layers only.
   * @returns {(t: number) => Float64Array}
   */
  along(image, way) {
    const [{ layer, kind, weights }, ...rest] = this.layers;
    if (layer.type !== "dense") return (t) => this.logits(image.map((v, i) => v + t * way[i]));
    const at = kind.forward(layer, image, weights);
    const zero = kind.forward(layer, image.map(() => 0), weights);
    const slope = kind.forward(layer, way, weights).map((v, i) => v - zero[i]);
    return (t) => rest.reduce((x, one) => one.kind.forward(one.layer, x, one.weights),
      at.map((v, i) => v + t * slope[i]));
  }

  /** The gradient of sum(mix * logits) in the image that was last shown. @returns {Float64Array} */
  gradient(mix) {
    let slope = Float64Array.from(mix);
    for (let i = this.layers.length - 1; i >= 0; i--) {
      const { layer, kind, weights } = this.layers[i];
      slope = kind.backward(layer, this.values[i], this.values[i + 1], slope, weights);
    }
    return slope;
  }

  /** The percentages that bars show: softmax, or, of an RBF network, each class's own. */
  percentages(image) {
    const logits = this.logits(image);
    const own = this.plan.layers.some((layer) => layer.type === "rbf");
    return own ? logits.map((v) => 100 / (1 + Math.exp(-v))) : softmax(logits).map((p) => 100 * p);
  }
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

export function largest(values) {
  return values.indexOf(Math.max(...values));
}
