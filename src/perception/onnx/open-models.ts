/** Opens ONNX models that somebody has, each recognised by its shapes. */
import { readFile, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DeviceName } from "../../runtime/device-table.ts";
import { Lane } from "../../runtime/lane.ts";
import { Session } from "../../runtime/session.ts";
import { UserError } from "../../tensor/errors.ts";
import { ROLES, type Role, type Signature, recognise } from "./signature.ts";

/** Models to see with, and where they run. */
export interface EyeModels {
  /** ONNX files, or folders of them. */
  readonly paths: readonly string[];
  readonly device?: DeviceName;
  /** Threads inside one operation. */
  readonly threads?: number;
}

/** A model ready to run. */
export interface OpenModel<S extends Signature = Signature> {
  readonly path: string;
  readonly session: Session;
  readonly signature: S;
}

type SignatureOf<R extends Role> = Extract<Signature, { role: R }>;

/** At most one model of each role, in a thread of their own. */
export class OnnxModels {
  private constructor(
    private readonly lane: Lane,
    private readonly models: ReadonlyMap<Role, OpenModel>,
  ) {}

  /**
   * Opens every file that is named or lies in a named folder. Other models in a folder are passed over.
   * @throws UserError for a path that is no file or folder, a named file that is no model that can see people, a
   *   folder without one, two models of one role, and hand normals without parts or parts without normals
   */
  static async open({ paths, device, threads }: EyeModels): Promise<OnnxModels> {
    const lane = new Lane();
    const models = new Map<Role, OpenModel>();
    const add = (model: OpenModel): void => {
      const { role } = model.signature;
      const rival = models.get(role);
      if (rival) {
        throw new UserError(`both ${rival.path} and ${model.path} see ${ROLES[role]}; expected one of them`);
      }
      models.set(role, model);
    };
    const placement = { lane, ...(device && { device }), ...(threads !== undefined && { threads }) };
    try {
      for (const path of paths) {
        if (await isFolder(path)) {
          const opened = await openFolder(path, placement);
          opened.forEach(add);
        } else add(await openModel(path, placement));
      }
      if (models.has("normals") !== models.has("parts")) {
        const [given, missing] = models.has("normals")
          ? (["normals", "parts"] as const)
          : (["parts", "normals"] as const);
        throw new UserError(
          `${models.get(given)!.path} sees ${ROLES[given]} and alone serves nothing: hand normals are the normals ` +
            `inside the hands among the parts of the body; give a model of ${ROLES[missing]} too`,
        );
      }
      return new OnnxModels(lane, models);
    } catch (error) {
      await lane.close();
      throw error;
    }
  }

  get<R extends Role>(role: R): OpenModel<SignatureOf<R>> | undefined {
    return this.models.get(role) as OpenModel<SignatureOf<R>> | undefined;
  }

  async release(): Promise<void> {
    await this.lane.close();
  }
}

/** The ONNX files behind paths, as `OnnxModels.open` finds them, sorted within folders. Throws UserError. */
export async function listModelFiles(paths: readonly string[]): Promise<string[]> {
  const files = await Promise.all(
    paths.map(async (path) => ((await isFolder(path)) ? filesIn(path) : [path])),
  );
  return files.flat();
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new UserError(`cannot read ${path}: expected an ONNX model, or a folder of them`, { cause });
  });
  return found.isDirectory();
}

async function filesIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.toLowerCase().endsWith(".onnx"));
  return names.toSorted().map((name) => join(folder, name));
}

type Placement = Pick<NonNullable<Parameters<typeof Session.create>[1]>, "lane" | "device" | "threads">;

async function openFolder(folder: string, placement: Placement): Promise<OpenModel[]> {
  const opened: OpenModel[] = [];
  for (const path of await filesIn(folder)) {
    try {
      opened.push(await openModel(path, placement));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }
  if (opened.length > 0) return opened;
  throw new UserError(
    `${folder} holds no model that can see people; expected .onnx files of ${Object.values(ROLES).join(", ")}`,
  );
}

/** ONNX files hold no more: protocol buffers end there, and weights beyond lie in files beside it. */
const MAX_MODEL_BYTES = 2 ** 31 - 1;

async function openModel(path: string, placement: Placement): Promise<OpenModel> {
  const { size } = await stat(path);
  if (size > MAX_MODEL_BYTES) throw new UserError(`${path} has ${size} bytes: no ONNX model is as large`);
  const model = await readFile(path);
  const externalFolder = dirname(await realpath(path));
  const options = { ...placement, name: basename(path), externalFolder };
  const session = await Session.create(model, options).catch((cause: unknown) => {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`${path} is no ONNX model that runs here: ${firstLine(cause)}`, { cause });
  });
  try {
    return { path, session, signature: recognise(session.inputs, session.outputs, path) };
  } catch (error) {
    await session.release();
    throw error;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
