// Lists one folder in a worker thread: makes the nodes of its entries, takes unchanged files from the parent snapshot's
// tree, saves small files, and leaves subfolders, large files and large numbers of files to further jobs.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import { joinPath } from '../filesystem/byte-path.ts';
import type { FolderLister, FolderListing } from '../filesystem/folder-listing.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { nodeOfStat, readNode, type FoundEntry, type NodeReader } from '../filesystem/read-node.ts';
import { encodeNode, joinNodes, nodeHead, openNode } from '../tree/encode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import type { BlobWriter } from './blob-writer.ts';
import type { FileSaver, FileToSave } from './file-saver.ts';
import { badPageNotice, isTrusted, withoutUnneeded, type LiveRules } from './live-files.ts';
import { ParentTree } from './parent-tree.ts';
import { noRules, Selection, type FolderSelection, type SelectionRules } from './selection.ts';
import { remarksOn } from './stable-read.ts';
import { compareWithParent, incompleteNotice } from './unchanged.ts';
import {
  addCounts,
  noCounts,
  type Comparison,
  type Counts,
  type FilesResult,
  type FolderLabel,
  type FolderResult,
  type FolderToSave,
  type Item,
  type Job,
  type Notice,
  type Problem,
  type UnreadableFolder,
} from './worker-protocol.ts';

/** What one job reads at most before it leaves the rest of its files to others. */
const maxFilesPerJob = 200;
const maxBytesPerJob = 4 * 1024 * 1024;

export interface FolderSaverOptions {
  readonly files: FileSaver;
  readonly writer: BlobWriter;
  readonly index: BlobIndex;
  readonly reader: NodeReader;
  readonly lister: FolderLister;
  readonly throwIfAborted: () => void;
  readonly comparison: Comparison;
  readonly tellsItems: boolean;
}

/** What a job finds out beside its nodes. */
interface Findings {
  readonly shown: string;
  readonly counts: Counts;
  readonly problems: Problem[];
  readonly notices: Notice[];
  readonly items: Item[];
  readonly live: LiveRules | null;
}

interface Listing extends Findings {
  readonly path: Buffer;
  readonly selection: FolderSelection;
  readonly parent: ParentTree;
  readonly nodes: string[];
  readonly subfolders: FolderResult['subfolders'][number][];
  readonly deferred: FolderResult['deferred'][number][];
  filesRead: number;
  bytesRead: number;
}

export class FolderSaver {
  readonly #options: FolderSaverOptions;
  readonly #selections = new Map<string, Selection>([['', new Selection(noRules)]]);

  constructor(options: FolderSaverOptions) {
    this.#options = options;
  }

  saveFolder(job: FolderToSave): FolderResult | UnreadableFolder {
    const path = Buffer.from(job.path);
    let entries: FolderListing;
    try {
      entries = this.#options.lister.open(path);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return { kind: 'unreadable', message: error.message, isGone: error.code === 'ENOENT' };
    }
    using open = entries;
    return this.#saveEntries(job, { path, entries: open });
  }

  #saveEntries(job: FolderToSave, { path, entries }: { path: Buffer; entries: FolderListing }): FolderResult {
    const parent = new ParentTree(job.parent?.tree, this.#options.index);
    const selection = this.#selection(job.label.rules);
    const findings = newFindings(job.label, selection);
    const onNotice = (notice: Notice): void => void findings.notices.push(notice);
    const listing: Listing = {
      ...findings,
      path,
      selection: selection.folder(path, job.label.below, onNotice),
      parent,
      nodes: [],
      subfolders: [],
      deferred: [],
      filesRead: 0,
      bytesRead: 0,
    };
    for (const name of withoutUnneeded(findings.live, entries.names)) {
      this.#options.throwIfAborted();
      this.#saveEntry(listing, entries, name);
    }
    const { nodes, subfolders, deferred, problems, notices, items, counts, bytesRead } = listing;
    const told = { problems, notices, items, counts, bytesRead };
    if (subfolders.length > 0 || deferred.length > 0 || job.isOpen) {
      return { kind: 'folder', nodes, subfolders, deferred, ...told };
    }
    const treeCounts = noCounts();
    const subtree = job.parent && parent.isSame ? job.parent.id : this.#storeTree(nodes, treeCounts);
    addCounts(counts, treeCounts);
    return { kind: 'folder', subtree, treeCounts, nodes: [], subfolders, deferred, ...told };
  }

  saveFiles(job: Extract<Job, { kind: 'files' }>): FilesResult {
    const folder = Buffer.from(job.folder);
    const findings = newFindings(job.label, this.#selection(job.label.rules));
    const nodes = job.files.map((file) => {
      this.#options.throwIfAborted();
      const name = Buffer.from(file.name, 'latin1');
      try {
        return this.#readFile(findings, { ...file, name, path: joinPath(folder, name) });
      } catch (error) {
        if (!isSystemError(error)) throw error;
        if (findings.live && error.code === 'ENOENT') return '';
        findings.problems.push({ path: entryPath(job.label.shown, name), message: error.message });
        return '';
      }
    });
    const { counts, problems, notices, items } = findings;
    return { kind: 'files', nodes, problems, notices, items, counts };
  }

  #saveEntry(listing: Listing, entries: FolderListing, name: Buffer): void {
    const { selection, problems } = listing;
    if (selection.excludesName(name)) return;
    const path = joinPath(listing.path, name);
    try {
      const stat = entries.factsOf(name, path);
      // Sockets belong to the process that listens on them; there is nothing to save.
      if (stat.isSocket()) return;
      const kept = selection.keeps(name, stat);
      if (kept === false) return;
      if (stat.isFile()) {
        this.#saveFile(listing, { path, name, stat });
        return;
      }
      this.#saveOther(listing, { path, name, stat }, kept);
    } catch (error) {
      // Anything else (a blob that could not be stored, a bug) has to end the archive.
      if (!isSystemError(error)) throw error;
      if (listing.live && error.code === 'ENOENT') return;
      problems.push({ path: entryPath(listing.shown, name), message: error.message });
    }
  }

  #saveOther(listing: Listing, entry: FoundEntry, kept: true | 'mount-point'): void {
    const node = readNode(this.#options.reader, entry);
    const { nodes, parent, counts } = listing;
    if (kept === 'mount-point') {
      nodes.push(encodeNode({ ...node, subtree: this.#storeTree([], counts) }));
      return;
    }
    const head = nodeHead(node);
    if (node.type !== 'dir') {
      nodes.push(parent.nextOther(head)?.json ?? encodeNode(node));
      return;
    }
    const { name } = entry;
    const same = parent.nextFolder(head);
    const before = same ? undefined : parent.find(name);
    const parentTree = same?.subtree ?? (before?.type === 'dir' ? before.subtree : undefined);
    listing.subfolders.push({ slot: nodes.length, name, parentTree });
    nodes.push(openNode(node));
  }

  #saveFile(listing: Listing, entry: FoundEntry): void {
    const { path, name, stat } = entry;
    const { counts } = listing;
    const { index, comparison, reader, tellsItems } = this.#options;
    const trusted = isTrusted(listing.live, stat);
    const same =
      trusted && listing.parent.comparesText
        ? listing.parent.nextFile(nodeHead({ ...nodeOfStat(reader, entry), size: Number(stat.size) }))
        : undefined;
    if (same) {
      listing.nodes.push(same.json);
      counts.filesUnmodified++;
      counts.bytes += Number(stat.size);
      if (tellsItems) listing.items.push(unchangedItem(entryPath(listing.shown, name)));
      return;
    }
    const parent = listing.parent.find(name);
    if (parent && trusted) {
      const node = readNode(reader, entry);
      const comparisonResult = compareWithParent(parent, { stat, node, index, comparison });
      if (comparisonResult === 'unchanged') {
        listing.nodes.push(encodeNode({ ...node, content: parent.content, size: parent.size }));
        counts.filesUnmodified++;
        counts.bytes += parent.size;
        if (tellsItems) listing.items.push(unchangedItem(entryPath(listing.shown, name)));
        return;
      }
      if (comparisonResult === 'incomplete') listing.notices.push(incompleteNotice(entryPath(listing.shown, name)));
    }
    const sizeBytes = Number(stat.size);
    const pageChunkBytes = listing.selection.pageChunkBytes(name);
    if (listing.filesRead >= maxFilesPerJob || listing.bytesRead + sizeBytes > maxBytesPerJob) {
      const isNew = !parent;
      const binary = name.toString('latin1');
      listing.deferred.push({ slot: listing.nodes.length, name: binary, sizeBytes, isNew, pageChunkBytes });
      listing.nodes.push('');
      return;
    }
    listing.filesRead++;
    listing.bytesRead += sizeBytes;
    listing.nodes.push(this.#readFile(listing, { path, name, stat, isNew: !parent, pageChunkBytes }));
  }

  #readFile(findings: Findings, file: Omit<FileToSave, 'live'> & { readonly isNew: boolean }): string {
    const { counts, items } = findings;
    const { files, tellsItems } = this.#options;
    const startedAt = tellsItems ? performance.now() : 0;
    const { bytesAdded, bytesAddedPacked } = counts;
    const { live } = findings;
    const { json, outcome, badPages } = files.save({ ...file, live }, counts);
    if (file.isNew) counts.filesNew++;
    else counts.filesChanged++;
    const shown = outcome !== 'stable' || badPages.length > 0 || tellsItems ? entryPath(findings.shown, file.name) : '';
    const { problem, notice } = remarksOn(shown, outcome);
    if (problem) findings.problems.push(problem);
    if (notice) findings.notices.push(notice);
    for (const page of badPages) findings.notices.push(badPageNotice(shown, page));
    if (tellsItems) {
      items.push({
        kind: 'file',
        action: file.isNew ? 'new' : 'modified',
        path: shown,
        durationMs: performance.now() - startedAt,
        bytesAdded: counts.bytesAdded - bytesAdded,
        bytesAddedPacked: counts.bytesAddedPacked - bytesAddedPacked,
      });
    }
    return json;
  }

  #storeTree(nodes: readonly string[], counts: Counts): string {
    const { writer } = this.#options;
    const tree = joinNodes(nodes);
    const id = writer.hash(tree);
    writer.store('tree', id, tree, counts);
    return id.toString('hex');
  }

  #selection(rules: string): Selection {
    let selection = this.#selections.get(rules);
    // Written by the main thread.
    if (!selection) this.#selections.set(rules, (selection = new Selection(JSON.parse(rules) as SelectionRules)));
    return selection;
  }
}

function newFindings({ shown }: FolderLabel, { live }: Selection): Findings {
  return { shown, live, counts: noCounts(), problems: [], notices: [], items: [] };
}

function unchangedItem(path: string): Item {
  return { kind: 'file', action: 'unchanged', path, durationMs: 0, bytesAdded: 0, bytesAddedPacked: 0 };
}

function entryPath(folder: string, name: Buffer): string {
  const shown = printableName(name);
  return folder.endsWith('/') ? folder + shown : `${folder}/${shown}`;
}
