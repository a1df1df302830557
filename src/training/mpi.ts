/**
 * The few calls of OpenMPI's C library that training together needs. Only processes that mpirun has started load this
 * file. OpenMPI's handles are addresses of objects that its library exports (`mpi.h`); other libraries have numbers.
 */
import koffi, { type LibraryHandle } from "koffi";
import { UserError, invariant } from "../tensor/errors.ts";

/** By the linker's name, which says the binary interface: 40 is that of OpenMPI 2 to 5. */
const LIBRARIES = ["libmpi.so.40", "libmpi.40.dylib", "libmpi.so", "libmpi.dylib"] as const;

const IN_PLACE = 1n;
const THREAD_FUNNELED = 1;
const MAX_VERSION_LENGTH = 256;

/** All calls are for `MPI_COMM_WORLD`, and from one thread. */
export interface Mpi {
  readonly rank: number;
  readonly size: number;
  /** Begins a barrier. @returns a test whether all processes have begun it */
  beginBarrier(): () => boolean;
  /** Replaces values by their sums over all processes; returns when that is done. */
  sum(values: Float32Array): void;
  /** Replaces values by those of process 0; returns when that is done. */
  share(values: Float32Array): void;
  finalize(): void;
  /** Ends all processes, this one too. */
  abort(exitCode: number): void;
}

/** @throws UserError when there is no OpenMPI */
export function initMpi(): Mpi {
  const library = loadLibrary();
  const symbol = (name: string): bigint => library.symbol(name) as bigint;
  const world = symbol("ompi_mpi_comm_world");
  const float = symbol("ompi_mpi_float");
  const add = symbol("ompi_mpi_op_sum");
  const call = (definition: string) => {
    const fn = library.func(`int MPI_${definition}`) as (...args: readonly unknown[]) => number;
    return (...args: readonly unknown[]): void => {
      const code = fn(...args);
      invariant(code === 0, `MPI_${definition} failed with code ${code}`);
    };
  };
  const integer = new Int32Array(1);
  call("Init_thread(void *argc, void *argv, int required, void *provided)")(
    null,
    null,
    THREAD_FUNNELED,
    integer,
  );
  const readInteger = (definition: string): number => {
    call(definition)(world, integer);
    return integer[0]!;
  };
  const rank = readInteger("Comm_rank(void *comm, void *rank)");
  const size = readInteger("Comm_size(void *comm, void *size)");

  const beginBarrier = call("Ibarrier(void *comm, void *request)");
  const testRequest = call("Test(void *request, void *flag, void *status)");
  const allreduce = call(
    "Allreduce(intptr_t send, void *receive, int count, void *type, void *op, void *comm)",
  );
  const broadcast = call("Bcast(void *buffer, int count, void *type, int root, void *comm)");
  const finalize = call("Finalize()");
  const abort = call("Abort(void *comm, int code)");
  return {
    rank,
    size,
    beginBarrier() {
      const request = new BigUint64Array(1);
      beginBarrier(world, request);
      return () => {
        testRequest(request, integer, null);
        return integer[0] !== 0;
      };
    },
    sum: (values) => allreduce(IN_PLACE, values, values.length, float, add, world),
    share: (values) => broadcast(values, values.length, float, 0, world),
    finalize: () => finalize(),
    abort: (exitCode) => abort(world, exitCode),
  };
}

function loadLibrary(): LibraryHandle {
  const faults: string[] = [];
  for (const name of LIBRARIES) {
    try {
      // Global, because OpenMPI's plug-ins look for the library's functions in the process.
      return checked(koffi.load(name, { global: true }), name);
    } catch (error) {
      if (error instanceof UserError) throw error;
      faults.push((error as Error).message);
    }
  }
  throw new UserError(
    `training in several processes needs OpenMPI's library, which cannot be loaded (${faults[0]}). Debian and Ubuntu ` +
      "have it in libopenmpi3; where it lies elsewhere, put its folder into LD_LIBRARY_PATH",
  );
}

/** @throws UserError when the library is not OpenMPI's */
function checked(library: LibraryHandle, name: string): LibraryHandle {
  const text = new Uint8Array(8192);
  const length = new Int32Array(1);
  library.func("int MPI_Get_library_version(void *version, void *length)")(text, length);
  const version = Buffer.from(text.subarray(0, Math.min(length[0]!, MAX_VERSION_LENGTH))).toString("latin1");
  if (version.startsWith("Open MPI")) return library;
  throw new UserError(`${name} is ${version.split("\n")[0]}; training in several processes needs OpenMPI`);
}
