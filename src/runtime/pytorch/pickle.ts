/**
 * Reads pickles of tensors and plain containers. Python's pickle is a program for a stack machine that can call
 * anything; this machine knows only the opcodes that build data, and "calls" only the few makers in
 * `pickle-globals.ts`. All else is refused by name, and every quantity has a limit.
 */
import { quote } from "../quote.ts";
import { findGlobal, findStorage, putItem } from "./pickle-globals.ts";
import { OPCODES as OP, REFUSED_OPCODES } from "./pickle-opcodes.ts";
import { PickleGlobal, PickleTuple, type Fail, type PickleValue, type StorageRef } from "./pickle-values.ts";

/** Far beyond what the largest published checkpoints need: about 60 thousand operations for 14 billion parameters. */
export const PICKLE_LIMITS = {
  bytes: 1 << 24,
  operations: 1 << 19,
  /** Lists, tuples and dictionaries made. */
  containers: 1 << 17,
  /** Values waiting to be put into a container, and containers waiting for values. */
  stack: 1 << 16,
  marks: 1 << 10,
  stringBytes: 1 << 20,
  /** A name of a module or object. */
  nameBytes: 256,
  /** A whole number. */
  integerBytes: 16,
} as const;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface Unpickled {
  readonly value: PickleValue;
  /** Position behind the last opcode. */
  readonly end: number;
  /** Storages by key, each as all tensors agree on it. */
  readonly storages: ReadonlyMap<string, StorageRef>;
}

/**
 * Runs the pickle that begins at `start`.
 * @throws by `fail` for every pickle that is malformed, too large, or more than data
 */
export function unpickle(bytes: Uint8Array, start: number, fail: Fail): Unpickled {
  return new PickleMachine(bytes, start, fail).run();
}

class PickleMachine {
  private readonly view: DataView;
  private readonly stack: PickleValue[] = [];
  /** Heights of the stack at the open marks. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly storages = new Map<string, StorageRef>();
  private numContainers = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private position: number,
    private readonly fail: Fail,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Unpickled {
    for (let operations = 0; operations < PICKLE_LIMITS.operations; operations++) {
      const opcode = this.bytes[this.take(1)]!;
      if (opcode === OP.STOP) {
        if (this.stack.length !== 1 || this.marks.length > 0) this.fail("its pickle ends in the middle");
        return { value: this.stack[0]!, end: this.position, storages: this.storages };
      }
      this.step(opcode);
      if (this.stack.length > PICKLE_LIMITS.stack || this.marks.length > PICKLE_LIMITS.marks) {
        this.fail(
          `its pickle stacks more than ${PICKLE_LIMITS.stack} values or ${PICKLE_LIMITS.marks} marks`,
        );
      }
      if (this.numContainers > PICKLE_LIMITS.containers) {
        this.fail(`its pickle makes more than ${PICKLE_LIMITS.containers} containers`);
      }
    }
    return this.fail(`its pickle has more than ${PICKLE_LIMITS.operations} operations`);
  }

  private step(opcode: number): void {
    const { stack } = this;
    switch (opcode) {
      case OP.PROTO:
        return this.checkProtocol(this.uint8());
      case OP.FRAME:
        // Frames only help those who read in pieces.
        this.take(8);
        return;
      case OP.MARK:
        this.marks.push(stack.length);
        return;

      case OP.NONE:
        stack.push(null);
        return;
      case OP.NEWTRUE:
        stack.push(true);
        return;
      case OP.NEWFALSE:
        stack.push(false);
        return;
      case OP.BININT:
        stack.push(this.view.getInt32(this.take(4), true));
        return;
      case OP.BININT1:
        stack.push(this.uint8());
        return;
      case OP.BININT2:
        stack.push(this.view.getUint16(this.take(2), true));
        return;
      case OP.LONG1:
        stack.push(this.integer(this.uint8()));
        return;
      case OP.LONG4:
        stack.push(this.integer(this.uint32()));
        return;
      case OP.BINFLOAT:
        stack.push(this.view.getFloat64(this.take(8), false));
        return;
      case OP.BINUNICODE:
        stack.push(this.text(this.uint32()));
        return;
      case OP.SHORT_BINUNICODE:
      case OP.SHORT_BINSTRING:
        stack.push(this.text(this.uint8()));
        return;

      case OP.EMPTY_LIST:
        this.numContainers++;
        stack.push([]);
        return;
      case OP.EMPTY_DICT:
        this.numContainers++;
        stack.push(new Map());
        return;
      case OP.EMPTY_TUPLE:
        return this.pushTuple(0);
      case OP.TUPLE1:
        return this.pushTuple(1);
      case OP.TUPLE2:
        return this.pushTuple(2);
      case OP.TUPLE3:
        return this.pushTuple(3);
      case OP.TUPLE:
        return this.pushTuple(stack.length - this.popMark());
      case OP.APPEND:
        return this.append(stack.length - 1);
      case OP.APPENDS:
        return this.append(this.popMark());
      case OP.SETITEM:
        return this.setItems(stack.length - 2);
      case OP.SETITEMS:
        return this.setItems(this.popMark());

      case OP.BINPUT:
        this.memo.set(this.uint8(), this.top());
        return;
      case OP.LONG_BINPUT:
        this.memo.set(this.uint32(), this.top());
        return;
      case OP.MEMOIZE:
        this.memo.set(this.memo.size, this.top());
        return;
      case OP.BINGET:
        return this.recall(this.uint8());
      case OP.LONG_BINGET:
        return this.recall(this.uint32());

      case OP.GLOBAL:
        stack.push(findGlobal(this.line(), this.line(), this.fail));
        return;
      case OP.STACK_GLOBAL:
        return this.pushGlobal();
      case OP.BINPERSID:
        return this.pushStorage();
      case OP.REDUCE:
        return this.reduce();
      case OP.BUILD:
        return this.build();
      default:
        return this.refuse(opcode);
    }
  }

  private checkProtocol(protocol: number): void {
    if (protocol < 2 || protocol > 5) this.fail(`its pickle is of the unknown protocol ${protocol}`);
  }

  private refuse(opcode: number): never {
    const name = REFUSED_OPCODES.get(opcode);
    if (name === undefined) return this.fail(`its pickle has the unknown opcode ${opcode}`);
    return this.fail(`its pickle uses the opcode ${name}, which plain tensors do not need`);
  }

  private pushTuple(count: number): void {
    this.need(count);
    this.numContainers++;
    this.stack.push(new PickleTuple(this.stack.splice(this.stack.length - count)));
  }

  private append(from: number): void {
    const items = this.itemsFrom(from);
    const list = this.top();
    if (!Array.isArray(list)) return this.fail("its pickle appends to what is no list");
    for (const item of items) list.push(item);
  }

  private setItems(from: number): void {
    const items = this.itemsFrom(from);
    const dict = this.top();
    if (!(dict instanceof Map)) return this.fail("its pickle sets items of what is no dictionary");
    if (items.length % 2 !== 0) return this.fail("its pickle sets an item without a value");
    for (let i = 0; i < items.length; i += 2) putItem(dict, items[i]!, items[i + 1]!, this.fail);
  }

  private recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) return this.fail(`its pickle recalls ${index}, which it has not memorised`);
    this.stack.push(value);
  }

  private pushGlobal(): void {
    const [module, name] = this.itemsFrom(this.stack.length - 2);
    if (typeof module !== "string" || typeof name !== "string") {
      return this.fail("its pickle asks for a Python object without a name");
    }
    this.stack.push(findGlobal(module, name, this.fail));
  }

  private pushStorage(): void {
    const storage = findStorage(this.pop(), this.fail);
    const known = this.storages.get(storage.key);
    if (known === undefined) this.storages.set(storage.key, storage);
    else if (known.byteLength !== storage.byteLength || known.elements !== storage.elements) {
      return this.fail(`it describes the storage ${quote(storage.key)} in two ways`);
    }
    this.stack.push(known ?? storage);
  }

  private reduce(): void {
    const [callee, args] = this.itemsFrom(this.stack.length - 2);
    if (!(callee instanceof PickleGlobal) || callee.call === undefined) {
      return this.fail("its pickle calls what cannot be called");
    }
    if (!(args instanceof PickleTuple)) return this.fail(`its pickle calls ${callee.name} without arguments`);
    this.numContainers++;
    this.stack.push(callee.call(args.items, this.fail));
  }

  /** State dictionaries carry versions of their modules as an attribute, which nothing here needs. */
  private build(): void {
    const state = this.pop();
    if (!(this.top() instanceof Map) || !(state instanceof Map)) {
      this.fail("its pickle sets the state of what is no dictionary");
    }
  }

  private itemsFrom(from: number): PickleValue[] {
    this.need(this.stack.length - from);
    return this.stack.splice(from);
  }

  private top(): PickleValue {
    this.need(1);
    return this.stack.at(-1)!;
  }

  private pop(): PickleValue {
    this.need(1);
    return this.stack.pop()!;
  }

  /** Nothing may be taken from below the last mark. */
  private need(count: number): void {
    if (this.stack.length - count < (this.marks.at(-1) ?? 0))
      this.fail("its pickle takes more than it has put");
  }

  private popMark(): number {
    return this.marks.pop() ?? this.fail("its pickle closes a container that it has not opened");
  }

  /** Moves on by `count` bytes and returns where they begin. */
  private take(count: number): number {
    const from = this.position;
    if (count > this.bytes.byteLength - from) return this.fail("its pickle is truncated");
    this.position = from + count;
    return from;
  }

  private uint8(): number {
    return this.bytes[this.take(1)]!;
  }

  private uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  private text(length: number): string {
    if (length > PICKLE_LIMITS.stringBytes) {
      return this.fail(
        `its pickle has a text of ${length} bytes; at most ${PICKLE_LIMITS.stringBytes} are read`,
      );
    }
    return this.decode(this.take(length), length);
  }

  /** The name up to the end of the line. */
  private line(): string {
    const from = this.position;
    const length = this.bytes.subarray(from, from + PICKLE_LIMITS.nameBytes).indexOf(0x0a);
    if (length < 0) return this.fail("its pickle has a name that does not end");
    this.take(length + 1);
    return this.decode(from, length);
  }

  private decode(from: number, length: number): string {
    try {
      return UTF8.decode(this.bytes.subarray(from, from + length));
    } catch {
      return this.fail("its pickle has a text that is not UTF-8");
    }
  }

  /** A whole number in two's complement, smallest byte first. */
  private integer(length: number): number | bigint {
    if (length > PICKLE_LIMITS.integerBytes) {
      return this.fail(
        `its pickle has a number of ${length} bytes; at most ${PICKLE_LIMITS.integerBytes} are read`,
      );
    }
    const from = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[from + i]!);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
}
