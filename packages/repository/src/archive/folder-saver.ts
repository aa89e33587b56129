// Lists one folder in a worker thread: makes the nodes of its entries, takes unchanged files from the parent snapshot's
// tree, saves small files, and leaves subfolders, large files and large numbers of files to further jobs.

import { lstatSync, readdirSync } from 'node:fs';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { joinPath } from '../filesystem/byte-path.ts';
import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { nodeOfStat, readNode, type FoundEntry, type NodeReader } from '../filesystem/read-node.ts';
import { encodeNode, joinNodes, nodeHead, openNode } from '../tree/encode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import type { BlobWriter } from './blob-writer.ts';
import type { FileSaver } from './file-saver.ts';
import { ParentTree } from './parent-tree.ts';
import { isUnchanged } from './unchanged.ts';
import {
  noCounts,
  type Counts,
  type FilesResult,
  type FolderLabel,
  type FolderResult,
  type Job,
  type Problem,
} from './worker-protocol.ts';

/** What one job reads at most before it leaves the rest of its files to others. */
const maxFilesPerJob = 200;
const maxBytesPerJob = 4 * 1024 * 1024;

export interface FolderSaverOptions {
  readonly files: FileSaver;
  readonly writer: BlobWriter;
  readonly index: BlobIndex;
  readonly reader: NodeReader;
  readonly throwIfAborted: () => void;
}

interface Listing {
  readonly path: Buffer;
  readonly label: FolderLabel;
  readonly parent: ParentTree;
  readonly nodes: string[];
  readonly subfolders: FolderResult['subfolders'][number][];
  readonly deferred: FolderResult['deferred'][number][];
  readonly problems: Problem[];
  readonly counts: Counts;
  filesRead: number;
  bytesRead: number;
}

export class FolderSaver {
  readonly #options: FolderSaverOptions;
  readonly #patterns = new Map<string, ExcludePatterns>();

  constructor(options: FolderSaverOptions) {
    this.#options = options;
  }

  /** Throws the system's error when the folder cannot be listed. */
  saveFolder(job: Extract<Job, { kind: 'folder' }>): FolderResult {
    const path = Buffer.from(job.path);
    const names = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
    const parent = new ParentTree(job.parent?.tree, this.#options.index);
    const listing: Listing = {
      path,
      label: job.label,
      parent,
      nodes: [],
      subfolders: [],
      deferred: [],
      problems: [],
      counts: noCounts(),
      filesRead: 0,
      bytesRead: 0,
    };
    for (const name of names) {
      this.#options.throwIfAborted();
      this.#saveEntry(listing, name);
    }
    const { nodes, subfolders, deferred, problems, counts } = listing;
    if (subfolders.length > 0 || deferred.length > 0) {
      return { kind: 'folder', nodes, subfolders, deferred, problems, counts };
    }
    if (job.parent && parent.isSame) {
      return { kind: 'folder', subtree: job.parent.id, nodes: [], subfolders, deferred, problems, counts };
    }
    const tree = joinNodes(nodes);
    const id = this.#options.writer.hash(tree);
    this.#options.writer.store('tree', id, tree, counts);
    return { kind: 'folder', subtree: id.toString('hex'), nodes: [], subfolders, deferred, problems, counts };
  }

  saveFiles(job: Extract<Job, { kind: 'files' }>): FilesResult {
    const folder = Buffer.from(job.folder);
    const problems: Problem[] = [];
    const counts = noCounts();
    const nodes = job.names.map((bytes, i) => {
      this.#options.throwIfAborted();
      const name = Buffer.from(bytes);
      try {
        return this.#options.files.save(joinPath(folder, name), Buffer.from(job.nodeNames?.[i] ?? name), counts);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        problems.push({ path: entryPath(job.label.shown, name), message: error.message });
        return '';
      }
    });
    return { kind: 'files', nodes, problems, counts };
  }

  #saveEntry(listing: Listing, name: Buffer): void {
    const { label, problems } = listing;
    if (this.#isExcluded(label, name)) return;
    const path = joinPath(listing.path, name);
    try {
      const stat = lstatSync(path, { bigint: true });
      // Sockets belong to the process that listens on them; there is nothing to save.
      if (stat.isSocket()) return;
      if (stat.isFile()) {
        this.#saveFile(listing, { path, name, stat });
        return;
      }
      this.#saveOther(listing, { path, name, stat });
    } catch (error) {
      // Anything else (a blob that could not be stored, a bug) has to end the archive.
      if (!isSystemError(error)) throw error;
      problems.push({ path: entryPath(label.shown, name), message: error.message });
    }
  }

  #saveOther(listing: Listing, entry: FoundEntry): void {
    const node = readNode(this.#options.reader, entry);
    const head = nodeHead(node);
    if (node.type !== 'dir') {
      listing.nodes.push(listing.parent.nextOther(head)?.json ?? encodeNode(node));
      return;
    }
    const { name } = entry;
    const same = listing.parent.nextFolder(head);
    const parent = same ? undefined : listing.parent.find(name);
    const parentTree = same?.subtree ?? (parent?.type === 'dir' ? parent.subtree : undefined);
    listing.subfolders.push({ slot: listing.nodes.length, name, parentTree });
    listing.nodes.push(openNode(node));
  }

  #saveFile(listing: Listing, entry: FoundEntry): void {
    const { path, name, stat } = entry;
    const { counts, parent: tree } = listing;
    const { reader, index } = this.#options;
    const same = tree.nextFile(nodeHead({ ...nodeOfStat(reader, entry), size: Number(stat.size) }));
    if (same) {
      listing.nodes.push(same.json);
      counts.filesUnmodified++;
      counts.bytes += Number(stat.size);
      return;
    }
    const parent = tree.find(name);
    const node = parent && readNode(reader, entry);
    if (parent && node && isUnchanged(parent, { stat, node, index })) {
      listing.nodes.push(encodeNode({ ...node, content: parent.content, size: parent.size }));
      counts.filesUnmodified++;
      counts.bytes += parent.size;
      return;
    }
    const sizeBytes = Number(stat.size);
    if (listing.filesRead >= maxFilesPerJob || listing.bytesRead + sizeBytes > maxBytesPerJob) {
      listing.deferred.push({ slot: listing.nodes.length, name, sizeBytes, isNew: !parent });
      listing.nodes.push('');
      return;
    }
    listing.filesRead++;
    listing.bytesRead += sizeBytes;
    listing.nodes.push(this.#options.files.save(path, name, counts));
    if (parent) counts.filesChanged++;
    else counts.filesNew++;
  }

  #isExcluded(label: FolderLabel, name: Buffer): boolean {
    for (const { patterns, path } of label.excludes) {
      if (this.#compiled(patterns).matches(entryPath(path, name))) return true;
    }
    return false;
  }

  #compiled(patterns: readonly string[]): ExcludePatterns {
    const key = patterns.join('\0');
    let compiled = this.#patterns.get(key);
    if (!compiled) this.#patterns.set(key, (compiled = new ExcludePatterns(patterns)));
    return compiled;
  }
}

function entryPath(folder: string, name: Buffer): string {
  const shown = printableName(name);
  return folder.endsWith('/') ? folder + shown : `${folder}/${shown}`;
}
