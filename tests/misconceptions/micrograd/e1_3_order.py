"""Wrong answers to 1.3, a topological order without recursion."""

import sys
from collections import deque

from misconceptions import wrong


@wrong("1.3", "Your function calls itself")
def recursive():
    def operands_first(operands, root):
        order = []

        def visit(name):
            if name not in order:
                for operand in operands[name]:
                    visit(operand)
                order.append(name)

        visit(root)
        return order

    return operands_first


@wrong("1.3", "turn it round")
def root_first():
    def operands_first(operands, root):
        order, seen, stack = [], set(), [root]
        while stack:
            name = stack[-1]
            if name not in seen:
                seen.add(name)
                stack += [o for o in operands[name] if o not in seen]
            else:
                stack.pop()
                if name not in order:
                    order.append(name)
        return order[::-1]

    return operands_first


@wrong("1.3", "You list level by level")
def by_level():
    def operands_first(operands, root):
        seen, queue = [root], [root]
        while queue:
            for operand in operands[queue.pop(0)]:
                if operand not in seen:
                    seen.append(operand)
                    queue.append(operand)
        return seen[::-1]

    return operands_first


@wrong("1.3", "You walk every path")
def every_path():
    def operands_first(operands, root):
        order, stack = [], [root]
        while stack:
            name = stack.pop()
            order.append(name)
            stack += operands[name]
        return list(dict.fromkeys(order[::-1]))

    return operands_first


@wrong("1.3", "You list all that is in the dict")
def whole_dict():
    def operands_first(operands, root):
        order, seen, stack = {}, set(), [root, *operands]
        while stack:
            name = stack[-1]
            if name not in seen:
                seen.add(name)
                stack += [o for o in operands[name] if o not in seen]
            else:
                order[stack.pop()] = True
        return list(order)

    return operands_first


@wrong("1.3", "a higher limit only moves the end")
def recursive_with_a_higher_limit():
    def operands_first(operands, root):
        order, seen, limit = [], set(), sys.getrecursionlimit()

        def visit(name):
            if name not in seen:
                seen.add(name)
                for operand in operands[name]:
                    visit(operand)
                order.append(name)

        try:
            sys.setrecursionlimit(100_000)
            visit(root)
        finally:
            sys.setrecursionlimit(limit)
        return order

    return operands_first


@wrong("1.3", "not when you first meet it")
def when_first_met():
    def operands_first(operands, root):
        order, stack = [], [root]
        while stack:
            name = stack.pop()
            if name not in order:
                order.append(name)
                stack += operands[name]
        return order[::-1]

    return operands_first


@wrong("1.3", "Your loop has no end")
def never_popped():
    def operands_first(operands, root):
        order, stack = [], [root]
        while stack:
            name = stack[-1]
            if all(operand in order for operand in operands[name]):
                order.append(name)
            else:
                stack += operands[name]
        return order

    return operands_first


@wrong("1.3", "You go over the graph again and again")
def round_after_round():
    def operands_first(operands, root):
        reached, todo = [], [root]
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.append(name)
                todo += operands[name]
        order, listed = [], set()
        while len(order) < len(reached):
            for name in reached:
                if name not in listed and all(o in listed for o in operands[name]):
                    order.append(name)
                    listed.add(name)
        return order

    return operands_first


@wrong("1.3", "is listed twice")
def listed_twice():
    def operands_first(operands, root):
        order, seen, stack = [], set(), [root]
        while stack:
            if stack[-1] in seen:
                order.append(stack.pop())
            else:
                seen.add(stack[-1])
                stack += operands[stack[-1]]
        return order

    return operands_first


@wrong("1.3", "A set has no order")
def as_a_set():
    return lambda operands, root: set(operands)


@wrong("1.3", "A name is text")
def attribute_of_a_name():
    return lambda operands, root: [*root.operands, root]


@wrong("1.3", "Nothing came back")
def order_not_returned():
    return lambda operands, root: None


@wrong("1.3", "may be listed when all of its operands are")
def by_name():
    def operands_first(operands, root):
        reached, todo = {root}, [root]
        while todo:
            new = [o for o in operands[todo.pop()] if o not in reached]
            reached.update(new)
            todo += new
        return sorted(reached)

    return operands_first


@wrong("1.3", "list the root too")
def nothing_for_a_leaf():
    def operands_first(operands, root):
        order, seen, stack = {}, set(), list(operands[root])
        while stack:
            name = stack[-1]
            if name not in seen:
                seen.add(name)
                stack += [o for o in operands[name] if o not in seen]
            else:
                order[stack.pop()] = True
        return [*order, root] if order else []

    return operands_first


@wrong("1.3", "is made once, with the function")
def seen_is_a_default_argument():
    def operands_first(operands, root, seen=set()):  # noqa: B006 (the mistake)
        order, stack = [], [(root, False)]
        while stack:
            name, ready = stack.pop()
            if ready:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack += [(operand, False) for operand in operands[name]]
        return order

    return operands_first


@wrong("1.3", "Follow the operands of every name")
def two_operands_at_most():
    def operands_first(operands, root):
        order, seen, stack = {}, set(), [root]
        while stack:
            name = stack[-1]
            if name not in seen:
                seen.add(name)
                stack += [o for o in operands[name][:2] if o not in seen]
            else:
                order[stack.pop()] = True
        return list(order)

    return operands_first


@wrong("1.3", "something is kept from call to call")
def order_is_a_default_argument():
    def operands_first(operands, root, order=[]):  # noqa: B006 (the mistake)
        stack = [(root, False)]
        while stack:
            name, ready = stack.pop()
            if name in order:
                continue
            if ready:
                order.append(name)
            else:
                stack.append((name, True))
                stack += [(operand, False) for operand in operands[name]]
        return order

    return operands_first


@wrong("1.3", "for each level once")
def level_by_level_of_a_copy():
    def operands_first(operands, root):
        waiting, order = dict(operands), []
        while root in waiting:
            ready = [n for n, made in waiting.items() if not any(o in waiting for o in made)]
            for name in ready:
                del waiting[name]
            order += ready
        reached, todo = {root}, [root]
        while todo:
            new = [o for o in operands[todo.pop()] if o not in reached]
            reached.update(new)
            todo += new
        return [name for name in order if name in reached and name != root] + [root]

    return operands_first


@wrong("1.3", "Something inside of it was written into")
def uses_the_lists_up():
    def operands_first(operands, root):
        order, seen, stack = [], {root}, [root]
        while stack:
            if operands[stack[-1]]:
                name = operands[stack[-1]].pop()
                if name not in seen:
                    seen.add(name)
                    stack.append(name)
            else:
                order.append(stack.pop())
        return order

    return operands_first


@wrong("1.3", "begin at the `root` that you are given")
def begins_at_the_last_name():
    def operands_first(operands, root):
        order, stack = {}, [(list(operands)[-1], False)]
        while stack:
            name, ready = stack.pop()
            if ready:
                order[name] = True
            elif name not in order:
                stack.append((name, True))
                stack += [(operand, False) for operand in operands[name]]
        return [*order]

    return operands_first


def by_the_longest_way(take):
    """An answer that looks at a name again whenever a longer way leads there."""

    def operands_first(operands, root):
        depth, todo = {root: 0}, deque([root])
        while todo:
            name = take(todo)
            for operand in operands[name]:
                if depth.get(operand, -1) < depth[name] + 1:
                    depth[operand] = depth[name] + 1
                    todo.append(operand)
        return sorted(depth, key=depth.get, reverse=True)

    return operands_first


@wrong("1.3", "or whenever a longer way leads to")
def longest_way_from_a_queue():
    return by_the_longest_way(deque.popleft)


@wrong("1.3", "whenever a longer way leads to a name.")
def longest_way_from_a_stack():
    return by_the_longest_way(deque.pop)
