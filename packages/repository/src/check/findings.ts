// What a check finds, collected and never thrown; the lists are bounded, the counts are not.

/** A stable name of a kind of damage or of an oddity. */
export type FindingCode =
  | 'CONFIG_DAMAGED'
  | 'KEY_DAMAGED'
  | 'LOCK_UNREADABLE'
  | 'LOCK_IN_FUTURE'
  | 'SNAPSHOT_DAMAGED'
  | 'INDEX_DAMAGED'
  | 'INDEX_DUPLICATE'
  | 'PACK_MISSING'
  | 'PACK_SIZE_WRONG'
  | 'PACK_DAMAGED'
  | 'PACK_HEADER_DIFFERENT'
  | 'PACK_NOT_INDEXED'
  | 'PACK_MIXED'
  | 'TREE_MISSING'
  | 'TREE_DAMAGED'
  | 'BLOB_MISSING'
  | 'BLOB_DAMAGED';

export interface Finding {
  readonly code: FindingCode;
  /** What is wrong with which thing. */
  readonly message: string;
  /** The file's name, or the id of the snapshot, tree or blob. */
  readonly id: string;
}

const mostKept = 1000;

export class Findings {
  readonly errors: Finding[] = [];
  readonly warnings: Finding[] = [];
  errorCount = 0;
  warningCount = 0;
  /** Packs that are not what they were. */
  readonly brokenPacks = new Set<string>();
  readonly #codes = new Set<FindingCode>();

  /** Whether there was an error or a warning of one of these kinds. */
  has(codes: readonly FindingCode[]): boolean {
    return codes.some((code) => this.#codes.has(code));
  }

  error(code: FindingCode, id: string, message: string): void {
    this.#codes.add(code);
    if (code === 'PACK_DAMAGED' || code === 'PACK_SIZE_WRONG') this.brokenPacks.add(id);
    if (this.errorCount++ < mostKept) this.errors.push({ code, id, message });
  }

  warn(code: FindingCode, id: string, message: string): void {
    this.#codes.add(code);
    if (this.warningCount++ < mostKept) this.warnings.push({ code, id, message });
  }

  /** Adds what another part of the check has found, after what is here. */
  add(other: Findings): void {
    for (const { code, id, message } of other.errors) this.error(code, id, message);
    for (const { code, id, message } of other.warnings) this.warn(code, id, message);
    this.errorCount += other.errorCount - other.errors.length;
    this.warningCount += other.warningCount - other.warnings.length;
    for (const code of other.#codes) this.#codes.add(code);
    for (const pack of other.brokenPacks) this.brokenPacks.add(pack);
  }
}
