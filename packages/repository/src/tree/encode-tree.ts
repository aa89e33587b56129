// Tree blobs, byte for byte as restic writes them: the id of a tree is the hash of these bytes, so the order of keys,
// the escapes and the omitted empty fields are all part of the format (section 2.10).

import { isUtf8 } from 'node:buffer';
import { AppError } from '@varve/base';
import { goJsonBytes, goJsonString, goJsonValue } from './go-json.ts';
import { goQuote, printableName } from './go-quote.ts';
import type { ExtendedAttribute, TreeNode } from './tree-node.ts';

/** What stands before the first and after the last entry of a tree. */
export const treeHead = '{"nodes":[';
export const treeTail = ']}\n';

function extendedAttribute({ name, value }: ExtendedAttribute): string {
  const base64 = value === null ? 'null' : `"${value.toString('base64')}"`;
  return `{"name":${goJsonString(name)},"value":${base64}}`;
}

function linkFields(node: TreeNode): string {
  const target = node.linkTarget;
  if (target === undefined || target.length === 0) return '';
  const literal = goJsonBytes(target);
  if (node.linkTargetLost) return `,"linktarget":${literal.replaceAll('\ufffd', '\\ufffd')}`;
  const isText = isUtf8(target);
  return `,"linktarget":${literal}${isText ? '' : `,"linktarget_raw":"${target.toString('base64')}"`}`;
}

function optionalFields(node: TreeNode): string {
  let text = '';
  if (node.user) text += `,"user":${goJsonString(node.user)}`;
  if (node.group) text += `,"group":${goJsonString(node.group)}`;
  if (node.inode) text += `,"inode":${node.inode}`;
  if (node.deviceId) text += `,"device_id":${node.deviceId}`;
  if (node.size) text += `,"size":${node.size}`;
  if (node.links) text += `,"links":${node.links}`;
  text += linkFields(node);
  if (node.extendedAttributes?.length) {
    text += `,"extended_attributes":[${node.extendedAttributes.map(extendedAttribute).join(',')}]`;
  }
  if (node.genericAttributes !== undefined) text += `,"generic_attributes":${goJsonValue(node.genericAttributes)}`;
  if (node.device) text += `,"device":${node.device}`;
  return text;
}

/** The beginning of the node's JSON, up to and without `,"content":`. */
export function nodeHead(node: TreeNode): string {
  const mode = node.mode ? `,"mode":${node.mode}` : '';
  return (
    `{"name":${goJsonString(goQuote(node.name))},"type":"${node.type}"${mode}` +
    `,"mtime":"${node.mtime}","atime":"${node.atime}","ctime":"${node.ctime}"` +
    `,"uid":${node.uid},"gid":${node.gid}${optionalFields(node)}`
  );
}

/**
 * The node's JSON up to and without its last fields (`subtree`, `error`) and its closing brace: what is known of a folder
 * before its own tree is. {@link closeNode} completes it.
 */
export function openNode(node: TreeNode): string {
  const content = node.content === null ? 'null' : node.content.length === 0 ? '[]' : `["${node.content.join('","')}"]`;
  return `${nodeHead(node)},"content":${content}`;
}

/** Completes what {@link openNode} began. */
export function closeNode(opened: string, end: { subtree?: string | undefined; error?: string | undefined }): string {
  const subtree = end.subtree ? `,"subtree":"${end.subtree}"` : '';
  const error = end.error ? `,"error":${goJsonString(end.error)}` : '';
  return `${opened}${subtree}${error}}`;
}

/** The JSON of one node as it stands in a tree. */
export function encodeNode(node: TreeNode): string {
  return closeNode(openNode(node), { subtree: node.subtree, error: node.error });
}

/** A tree blob of nodes that are encoded and in order already. */
export function joinNodes(encoded: readonly string[]): Buffer {
  return Buffer.from(treeHead + encoded.join(',') + treeTail, 'utf8');
}

/** A tree blob. The nodes MUST ascend strictly by name; INTERNAL otherwise. */
export function encodeTree(nodes: readonly TreeNode[]): Buffer {
  for (const [i, node] of nodes.entries()) {
    const before = nodes[i - 1];
    if (before && Buffer.compare(before.name, node.name) >= 0) {
      throw new AppError('INTERNAL', `Tree nodes are not in ascending order at ${printableName(node.name)}.`);
    }
  }
  return joinNodes(nodes.map(encodeNode));
}
