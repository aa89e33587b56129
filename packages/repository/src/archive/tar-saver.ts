// Saves a tar stream as a tree: metadata and contents as the archive has them, entries in any order, hard links resolved at
// the end. Names that lead out of the archive are refused.

import { createHash } from 'node:crypto';
import { AppError } from '@varve/base';
import { pathComponents } from '../filesystem/byte-path.ts';
import { fileTypeBits, goModeOf } from '../filesystem/file-mode.ts';
import { readTar, type TarEntry } from '../tar/read-tar.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { AddTarOptions, RewrittenFile } from './archive-options.ts';
import type { ArchiveRun } from './archive-run.ts';
import { Selection, type SelectionRules } from './selection.ts';
import { StreamSaver } from './stream-saver.ts';
import { TargetTree } from './target-tree.ts';
import { noCounts, type Counts } from './worker-protocol.ts';

export interface SavedTar {
  /** Metadata of the archive's root, when it has an entry for it. */
  readonly rootNode: TreeNode | undefined;
  /** Metadata of the first folder below the root that the archive has an entry for. */
  readonly firstFolder: TreeNode | undefined;
  readonly treeId: string;
  readonly counts: Counts;
  readonly dirs: number;
}

interface Link {
  readonly components: readonly Buffer[];
  readonly target: readonly Buffer[];
}

/** The components of a name without the leading ones that are stripped; undefined when nothing is left but the root. */
function safeComponents(name: Buffer, strip: number): Buffer[] {
  const components = pathComponents(name).filter((component) => !component.equals(dot));
  if (name[0] === 0x2f || components.some((component) => component.equals(dotDot))) {
    throw new AppError(
      'RESTORE_PATH_UNSAFE',
      `The archive holds the name "${printableName(name)}", which leads out of it.`,
      {
        hint: 'The archive is damaged or was made to harm; nothing of it was kept.',
      },
    );
  }
  return components.slice(strip);
}

const dot = Buffer.from('.');
const dotDot = Buffer.from('..');

/** A number that stands for a linked file and stays the same from archive to archive. */
function inodeOf(components: readonly Buffer[]): bigint {
  const hash = createHash('sha256');
  for (const component of components) hash.update(component).update('/');
  return BigInt(hash.digest().readUIntBE(0, 6)) + 1n;
}

export class TarSaver {
  readonly #run: ArchiveRun;
  readonly #selection: Selection;
  readonly #tree = new TargetTree();
  readonly #counts = noCounts();
  readonly #links: Link[] = [];
  #dirs = 0;
  #firstFolder: TreeNode | undefined;

  constructor(run: ArchiveRun, rules: SelectionRules) {
    this.#run = run;
    this.#selection = new Selection(rules);
  }

  /** Reads the whole stream. `defaults` makes the metadata of folders that have no entry. Call once. */
  async save(
    source: AsyncIterable<Uint8Array>,
    options: {
      readonly stripComponents: number;
      readonly defaults: (name: Buffer) => TreeNode;
      readonly rewrite?: AddTarOptions['rewrite'];
    },
  ): Promise<SavedTar> {
    await readTar(source, (entry, content) => {
      const { stripComponents, rewrite } = options;
      const name = entry.name.toString();
      const rewritten = entry.type === 'file' ? rewrite?.({ name, sizeBytes: entry.size, content }) : undefined;
      if (rewritten === undefined) return this.#saveEntry(entry, content, stripComponents);
      return this.#saveEntry({ ...entry, name: Buffer.from(rewritten.name) }, rewritten.content, stripComponents);
    });
    for (const link of this.#links) this.#link(link);
    const { rootNode } = this.#tree;
    const treeId = this.#tree.finish({ store: (tree) => this.#run.storeTree(tree), defaults: options.defaults });
    return { rootNode, firstFolder: this.#firstFolder, treeId, counts: this.#counts, dirs: this.#dirs };
  }

  async #saveEntry(entry: TarEntry, content: RewrittenFile['content'], strip: number): Promise<void> {
    const components = safeComponents(entry.name, strip);
    if (entry.type === 'link') {
      this.#links.push({ components, target: safeComponents(entry.linkName, strip) });
      return;
    }
    const node = this.#toNode(entry);
    if (node.type === 'dir') {
      this.#dirs++;
      if (components.length > 0) this.#firstFolder ??= node;
      this.#tree.describe(components, node);
      return;
    }
    // Stripped away as a whole.
    if (components.length === 0) return;
    if (node.type !== 'file') {
      this.#tree.place(components, node, { replace: true });
      return;
    }
    const pageChunkBytes = this.#selection.pageChunkBytes(components);
    using saver = new StreamSaver(this.#run, { counts: this.#counts, pageChunkBytes });
    for await (const piece of content) {
      if (piece instanceof Uint8Array) await saver.write(piece);
      else await saver.writeStored(piece);
    }
    const saved = await saver.finish();
    this.#tree.place(components, { ...node, ...saved }, { replace: true });
    this.#count(saved.size);
  }

  #count(size: number): void {
    this.#counts.filesNew++;
    this.#counts.bytes += size;
    this.#run.add({ ...noCounts(), filesNew: 1, bytes: size });
  }

  #link({ components, target }: Link): void {
    const original = this.#tree.leaf(target);
    const name = components.at(-1);
    if (!original || !name) {
      const shown = components.map(printableName).join('/');
      throw new AppError('ARCHIVE_PRODUCER_FAILED', `The archive links "${shown}" to an entry that it does not hold.`);
    }
    const links = Math.max(original.links, 1) + 1;
    this.#tree.update(target, { links, inode: inodeOf(target) });
    this.#tree.place(components, { ...original, inode: inodeOf(target), links }, { replace: true });
    this.#count(original.size);
  }

  #toNode(entry: TarEntry): TreeNode {
    const type = entry.type === 'link' ? 'file' : entry.type;
    const mtime = this.#run.reader.times.format(entry.mtimeNs);
    const attributes = entry.extendedAttributes;
    return {
      name: Buffer.alloc(0),
      type,
      mode: goModeOf(fileTypeBits(type) | entry.permissions),
      mtime,
      atime: mtime,
      ctime: mtime,
      uid: entry.uid,
      gid: entry.gid,
      user: entry.user || undefined,
      group: entry.group || undefined,
      inode: 0n,
      deviceId: 0n,
      size: 0,
      links: type === 'dir' || type === 'fifo' ? 0 : 1,
      linkTarget: type === 'symlink' ? entry.linkName : undefined,
      extendedAttributes: attributes.length > 0 ? attributes : undefined,
      device: entry.device,
      content: type === 'file' ? [] : null,
    };
  }
}
