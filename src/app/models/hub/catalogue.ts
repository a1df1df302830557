/** What the names that can be pulled stand for. */
import { PLACES } from "../../../diffusion/layouts/places.ts";
import { UserError } from "../../../tensor/errors.ts";

/** Files of one model on the Hub. */
export interface Selection {
  readonly repo: string;
  /** Paths; `*` stands for any characters of a name. */
  readonly files: readonly string[];
}

export interface Pullable {
  /** For people. */
  readonly words: string;
  readonly selections: readonly Selection[];
  /** Needed as well where the selections do not hold the denoiser's frozen weights. */
  readonly base?: Selection;
}

const WAN = "Wan-AI/Wan2.1-I2V-14B-720P";
const POSEGEN = "Jessie459/PoseGen";

/** Published names of the parts that are one file. */
const ENCODERS = (["vae", "textEncoder", "imageEncoder", "tokenizer"] as const).map(
  (source) => PLACES[source].paths[0]!,
);

const DENOISER = ["diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model-*.safetensors"];

export const CATALOGUE = {
  posegen: {
    words: "the published PoseGen model: both finetunings, VAE, encoders and tokenizer",
    selections: [
      { repo: POSEGEN, files: ["720p-81f-base/*", "720p-81f-cond/*"] },
      { repo: WAN, files: ENCODERS },
    ],
    base: { repo: WAN, files: DENOISER },
  },
  "wan2.1-i2v-14b-720p": {
    words: "the model that PoseGen is finetuned from: denoiser, VAE, encoders and tokenizer",
    selections: [{ repo: WAN, files: [...DENOISER, ...ENCODERS] }],
  },
} as const satisfies Record<string, Pullable>;

/**
 * What a name stands for: one of the catalogue, in any case, or the name that its first model has on the Hub.
 * @throws UserError that lists the names
 */
export function lookUp(name: string): Pullable {
  const wanted = name.toLowerCase();
  for (const [known, pullable] of Object.entries(CATALOGUE)) {
    const names = [known, pullable.selections[0].repo.toLowerCase()];
    if (names.includes(wanted)) return pullable;
  }
  const list = Object.entries(CATALOGUE).map(([known, { words }]) => `${known} (${words})`);
  throw new UserError(`nothing is called "${name}"; expected ${list.join(" or ")}`);
}
