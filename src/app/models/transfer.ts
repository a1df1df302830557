/** How far the writing of large files is. */
export interface TransferProgress {
  /** What is being done. */
  readonly name: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** How long work on large files is watched and ended. */
export interface TransferOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TransferProgress) => void;
  /** Told in a sentence what was found or chosen. */
  readonly onNotice: (message: string) => void;
}
