import sys; sys.path.insert(0,'/tmp/np11')
from ed import sub
sub('zerotohero/course/adapters/numpy_gpt.py',
('''    twin = add_adapters(params, r,''','''    twin = add_adapters(copy.deepcopy(params), r,'''),
('''    other = add_adapters(params, r,''','''    other = add_adapters(copy.deepcopy(params), r,'''),
('import itertools\n','import copy\nimport itertools\n'))
sub('zerotohero/course/checks/numpy_gpt/e11_7_bits.py',
('''        else "Less than all of q is turned into floats at a time, and still too much: take fewer rows.",
''','''        else "Less than all of q is turned into floats at a time, and still too much: take fewer "
        "rows.",
'''))
